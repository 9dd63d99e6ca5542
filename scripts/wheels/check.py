"""Checks the wheels of a folder: their files, and what the library in them needs and exports.

    python scripts/wheels/check.py dist

A library must be built for the platform in the wheel's name, may depend on the C library only (Zig
links the C++ library statically), and may export only what flaxnoise/backends loads. Weak C++
symbols are harmless, as the library is loaded with local scope.
"""

import io
import pathlib
import re
import subprocess
import sys
import zipfile

LIBRARY = "flaxnoise/backends/cpu/flaxnoise_cpu.so"
NEEDED = re.compile(r"lib(c|m|dl|pthread|rt)\.so\.\d+|ld-linux-(x86-64|aarch64)\.so\.\d")
MACHINES = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}
MACHO_64_ARM64 = bytes.fromhex("cffaedfe0c000001")


def main() -> None:
    wheels = sorted(pathlib.Path(sys.argv[1]).glob("*.whl"))
    found = [f"{wheel.name}: {what}" for wheel in wheels for what in faults(wheel)]
    print(f"{len(wheels)} wheels, {len(found)} faults", *found, sep="\n  ")
    sys.exit(bool(found) or not wheels)


def faults(wheel: pathlib.Path) -> list[str]:
    """Returns a line for each fault of a wheel."""
    match = re.fullmatch(r"flaxnoise-[\w.]+-py3-none-((?:manylinux|macosx)_\w+)\.whl", wheel.name)
    if match is None:
        return ["is no wheel for every Python and for one platform"]
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    info = re.compile(r"flaxnoise-[\w.]+\.dist-info/(METADATA|WHEEL|RECORD|licenses/LICENSE)")
    strange = [
        name
        for name in names
        if not (re.fullmatch(r"flaxnoise/.*(\.py|py\.typed)", name) or info.fullmatch(name))
    ]
    wrong = [f"has {name} in it" for name in strange if name != LIBRARY]
    wanted = ("flaxnoise/py.typed", "flaxnoise/__init__.py", LIBRARY)
    wrong += [f"lacks {name}" for name in wanted if name not in names]
    if LIBRARY in names:
        platform, library = match[1], archive.read(LIBRARY)
        if platform.startswith("macosx"):
            wrong += [] if library.startswith(MACHO_64_ARM64) else ["its library is not for arm64"]
        else:
            wrong += _of_elf(library, platform) + _of_auditwheel(wheel, platform)
    return wrong


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
