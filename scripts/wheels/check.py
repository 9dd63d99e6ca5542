"""Checks a folder of wheels and the sdist: their files, and what the libraries need and export.

    python scripts/wheels/check.py dist

A wheel must have the modules of this checkout, the library and its metadata, and nothing else; the
sdist must have the files that git has. A library must be built for the platform in the wheel's
name, may depend on the C library only (Zig links the C++ library statically), and may export only
what flaxnoise/backends loads. Weak C++ symbols are harmless, as the library is loaded with local
scope.
"""

import io
import pathlib
import re
import subprocess
import sys
import tarfile
import zipfile

ROOT = pathlib.Path(__file__).parents[2]
LIBRARY = "flaxnoise/backends/cpu/flaxnoise_cpu.so"
NEEDED = re.compile(r"lib(c|m|dl|pthread|rt)\.so\.\d+|ld-linux-(x86-64|aarch64)\.so\.\d")
MACHINES = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}
MACHO_64_ARM64 = bytes.fromhex("cffaedfe0c000001")


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    found = [f"{wheel.name}: {what}" for wheel in wheels for what in faults(wheel)]
    found += [f"{sdist.name}: {what}" for sdist in sdists for what in faults_of_sdist(sdist)]
    print(f"{len(wheels)} wheels, {len(sdists)} sdists, {len(found)} faults", *found, sep="\n  ")
    sys.exit(bool(found) or not wheels)


def faults(wheel: pathlib.Path) -> list[str]:
    """Returns a line for each fault of a wheel."""
    match = re.fullmatch(r"flaxnoise-[\w.]+-py3-none-((?:manylinux|macosx)_\w+)\.whl", wheel.name)
    if match is None:
        return ["is no wheel for every Python and for one platform"]
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    info = re.compile(r"flaxnoise-[\w.]+\.dist-info/(METADATA|WHEEL|RECORD|licenses/LICENSE)")
    wanted = {LIBRARY, "flaxnoise/py.typed", *modules()}
    strange = (name for name in names if not info.fullmatch(name))
    wrong = _differences(wanted, set(strange))
    if LIBRARY in names:
        platform, library = match[1], archive.read(LIBRARY)
        if platform.startswith("macosx"):
            wrong += [] if library.startswith(MACHO_64_ARM64) else ["its library is not for arm64"]
        else:
            wrong += _of_elf(library, platform) + _of_auditwheel(wheel, platform)
    return wrong


def modules() -> list[str]:
    """Returns the paths of the package's modules in this checkout."""
    paths = (ROOT / "flaxnoise").rglob("*.py")
    return [path.relative_to(ROOT).as_posix() for path in paths]


def faults_of_sdist(sdist: pathlib.Path) -> list[str]:
    """Returns a line for each file that the sdist lacks, or has and git has not."""
    shown = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    return _differences({*shown.stdout.splitlines(), "PKG-INFO"}, names)


def _differences(wanted: set[str], found: set[str]) -> list[str]:
    wrong = [f"has {name} in it" for name in sorted(found - wanted)]
    return wrong + [f"lacks {name}" for name in sorted(wanted - found)]


def _of_elf(library: bytes, platform: str) -> list[str]:
    from elftools.elf.elffile import ELFFile  # installed by the extra wheels only

    elf = ELFFile(io.BytesIO(library))
    machine = MACHINES[re.sub(r"manylinux_\d+_\d+_", "", platform)]
    wrong = [] if elf["e_machine"] == machine else [f"its library is of {elf['e_machine']}"]
    needed = [tag.needed for tag in elf.get_section_by_name(".dynamic").iter_tags("DT_NEEDED")]
    wrong += [f"its library needs {name}" for name in needed if not NEEDED.fullmatch(name)]
    exported = [
        symbol.name
        for symbol in elf.get_section_by_name(".dynsym").iter_symbols()
        if symbol["st_info"]["bind"] == "STB_GLOBAL" and symbol["st_shndx"] != "SHN_UNDEF"
    ]
    strange = [name for name in exported if not name.startswith("flaxnoise_")]
    wrong += [f"its library exports {name}" for name in strange]
    return wrong if "flaxnoise_affine" in exported else [*wrong, "its library has no handler"]


def _of_auditwheel(wheel: pathlib.Path, platform: str) -> list[str]:
    """Returns a fault unless auditwheel finds the wheel fit for this glibc or an older one."""
    shown = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", str(wheel)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = re.search(r'following platform tag:\s*"manylinux_(\d+)_(\d+)_', shown)
    if found is None:
        return [f"auditwheel says: {shown.strip()}"]
    allowed = tuple(map(int, re.findall(r"\d+", platform)[:2]))
    return [] if tuple(map(int, found.groups())) <= allowed else [f"needs glibc {found.groups()}"]


if __name__ == "__main__":
    main()
