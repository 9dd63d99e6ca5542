"""scripts/wheels/check.py finds what must not be in a wheel or an sdist, and what is missing."""

import importlib.util
import pathlib
import shutil
import subprocess
import tarfile
import types
import zipfile

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "wheels" / "check.py"
MACHO = bytes.fromhex("cffaedfe0c000001")


def load() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("check", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    return check


CHECK = load()
GOOD = dict.fromkeys(CHECK.modules(), b"") | {
    "flaxnoise/py.typed": b"",
    "flaxnoise/backends/cpu/flaxnoise_cpu.so": MACHO,
    "flaxnoise-0.1.0.dist-info/METADATA": b"",
    "flaxnoise-0.1.0.dist-info/licenses/LICENSE": b"",
}
NAME = "flaxnoise-0.1.0-py3-none-macosx_11_0_arm64.whl"


def faults(folder: pathlib.Path, files: dict[str, bytes], name: str = NAME) -> list[str]:
    with zipfile.ZipFile(folder / name, "w") as wheel:
        for file, content in files.items():
            wheel.writestr(file, content)
    return CHECK.faults(folder / name)


def test_a_good_wheel_has_no_fault(tmp_path: pathlib.Path):
    assert faults(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        (
            GOOD | {"flaxnoise/backends/cpu/cpp/job.cc": b""},
            "has flaxnoise/backends/cpu/cpp/job.cc in it",
        ),
        (
            {name: GOOD[name] for name in GOOD if name != "flaxnoise/random/keys.py"},
            "lacks flaxnoise/random/keys.py",
        ),
        (GOOD | {"tests/conftest.py": b""}, "has tests/conftest.py in it"),
        (
            {name: GOOD[name] for name in GOOD if not name.endswith(".so")},
            "lacks flaxnoise/backends/cpu/flaxnoise_cpu.so",
        ),
        (
            GOOD | {"flaxnoise/backends/cpu/flaxnoise_cpu.so": b"ELF"},
            "its library is not for arm64",
        ),
    ],
)
def test_a_fault_is_found(tmp_path: pathlib.Path, files: dict[str, bytes], fault: str):
    assert faults(tmp_path, files) == [fault]


def test_a_wheel_for_any_platform_is_refused(tmp_path: pathlib.Path):
    found = faults(tmp_path, GOOD, "flaxnoise-0.1.0-py3-none-any.whl")
    assert found == ["is no wheel for every Python and for one platform"]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_sdist_has_the_files_of_git(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    tree, sdist = tmp_path / "tree", tmp_path / "flaxnoise-0.1.0.tar.gz"
    tree.mkdir()
    for name in ("LICENSE", "left.so"):
        (tree / name).write_bytes(b"")
    (tree / ".gitignore").write_text("*.so\nPKG-INFO\n")
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=tree, check=True, capture_output=True)
    (tree / "PKG-INFO").write_bytes(b"")
    monkeypatch.setattr(CHECK, "ROOT", tree)

    def found(*names: str) -> list[str]:
        with tarfile.open(sdist, "w:gz") as archive:
            for name in names:
                archive.add(tree / name, f"flaxnoise-0.1.0/{name}")
        return CHECK.faults_of_sdist(sdist)

    assert found("LICENSE", ".gitignore", "PKG-INFO") == []
    wrong = found(".gitignore", "PKG-INFO", "left.so")
    assert wrong == ["has left.so in it", "lacks LICENSE"]
