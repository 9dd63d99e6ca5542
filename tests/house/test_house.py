"""The repository: its top level, the length of files, and no paths of a developer's machine."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP_FILES = {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"}
TOP_FOLDERS = {"flaxnoise", "tests", "bench", "scripts"}
SOURCES = {".py", ".sh", ".c", ".cc", ".cpp", ".h", ".hpp"}
LONGEST = 300

# A path of a developer's machine: an absolute path below a home or working folder.
MACHINE_PATH = re.compile(r"(?<![\w.~/])/(?:root|work|home/\w+|Users/\w+)/")


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """Returns all files that git does not ignore, as paths from the root."""
    if shutil.which("git") is None:
        pytest.skip("no git: what belongs to the repository is unknown")
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout: what belongs to the repository is unknown")
    return [Path(line) for line in listing.stdout.splitlines() if (ROOT / line).is_file()]


def test_top_level_holds_only_what_belongs_there(files: list[Path]):
    strays = {
        file.parts[0]
        for file in files
        if file.parts[0] not in (TOP_FILES if len(file.parts) == 1 else TOP_FOLDERS)
        and not file.parts[0].startswith(".")
    }
    assert not strays


def test_the_readme_is_a_page():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def test_no_source_file_is_too_long(files: list[Path]):
    lengths = {
        str(file): len((ROOT / file).read_text().splitlines())
        for file in files
        if file.parts[0] in TOP_FOLDERS and file.suffix in SOURCES
    }
    assert lengths
    assert not {file: length for file, length in lengths.items() if length > LONGEST}


def test_no_file_mentions_a_path_of_somebodys_machine(files: list[Path]):
    mentions = [
        f"{file}:{number}: {line.strip()}"
        for file in files
        for number, line in enumerate(
            (ROOT / file).read_bytes().decode(errors="replace").splitlines(), 1
        )
        if MACHINE_PATH.search(line) or str(ROOT) in line
    ]
    assert not mentions
