"""Compiles a jax function for an NVIDIA GPU without a device, and reads the machine code.

Needs the wheels of the extra aot-gpu (see scripts/setup_aot.sh), but no driver. Nothing is run.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

EMITTER_DUMP = {"xla_dump_emitter_re": ".*"}
MOSAIC_DUMP = (
    "MOSAIC_GPU_DUMP_TO"  # where Mosaic writes its PTX; read at each lowering and compilation
)


class Kernel(NamedTuple):
    """Facts about the machine code of one kernel.

    Attributes:
        name: the name that XLA gave it.
        instructions: machine instructions of the kernel (straight-line code), without padding.
        elements: elements of the result that one thread writes.
        loads: widths in bytes of the loads from global memory.
        stores: widths in bytes of the stores to global memory.
        spilled: bytes of registers spilled to memory, by all kernels of the file.
        registers: registers of a thread, the most of all kernels of the file.
    """

    name: str
    instructions: int
    elements: int
    loads: tuple[int, ...]
    stores: tuple[int, ...]
    spilled: int
    registers: int

    @property
    def instructions_per_element(self) -> float:
        return self.instructions / self.elements


class Program(NamedTuple):
    """A compiled program: its kernels, and the bytes of its temporaries."""

    kernels: tuple[Kernel, ...]
    temporary_bytes: int

    @property
    def main(self) -> Kernel:
        return max(self.kernels, key=lambda kernel: kernel.instructions)


def compile_for(
    device: str,
    function: Callable[..., jax.Array],
    key: jax.ShapeDtypeStruct,
    x: jax.ShapeDtypeStruct,
    *numbers: jax.ShapeDtypeStruct,
    devices: int = 1,
) -> Program:
    """Compiles for one of aot.GPUS; the textproto file of that name describes the target.

    On several devices x is sharded along its first dimension, on an automatic mesh.
    """
    described = topology(device, devices)
    # Without a device of the topology, compile() would silently compile for the CPU.
    whole = cut = SingleDeviceSharding(described.devices[0])
    if devices > 1:
        mesh = Mesh(np.array(described.devices), ("data",))
        whole, cut = (
            NamedSharding(mesh, PartitionSpec()),
            NamedSharding(mesh, PartitionSpec("data")),
        )
    placed = [
        jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=cut if a is x else whole)
        for a in (key, x, *numbers)
    ]
    # Elements are counted by the bytes stored, as the code stores pairs of bfloat16 as words.
    size = jax.eval_shape(function, key, x, *numbers).dtype.itemsize
    with tempfile.TemporaryDirectory() as folder:
        compiled = compile_into(folder, jax.jit(function, out_shardings=cut), placed)
        sources = sorted(pathlib.Path(folder).glob("*.ptx"))
        kernels = [kernel for source in sources for kernel in kernels_of(source, size)]
    memory = compiled.memory_analysis()
    assert memory is not None
    return Program(tuple(kernels), memory.temp_size_in_bytes)


def emit(
    device: str, function: Callable[..., jax.Array], *arguments: jax.ShapeDtypeStruct
) -> dict[str, str]:
    """Returns the files that the compiler dumps, by name: PTX, HLO, kernel launches."""
    place = SingleDeviceSharding(topology(device).devices[0])
    placed = [jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place) for a in arguments]
    with tempfile.TemporaryDirectory() as folder:
        compile_into(folder, jax.jit(function, out_shardings=place), placed)
        files = [file for file in pathlib.Path(folder).iterdir() if file.suffix in (".ptx", ".txt")]
        return {file.name: file.read_text() for file in files}


def topology(device: str, devices: int = 1) -> topologies.TopologyDescription:
    description = (pathlib.Path(__file__).parent / f"{device}.textproto").read_text()
    return topologies.get_topology_desc(
        platform="cuda",
        topology_name=device,
        topology=f"1x1x{devices}",
        target_config=description,
    )


def compile_into(
    folder: str, function: jax.stages.Wrapped, arguments: list[jax.ShapeDtypeStruct]
) -> jax.stages.Compiled:
    """Compiles, with the compiler's dumps in the folder."""
    os.environ[MOSAIC_DUMP] = folder
    lowered = function.trace(*arguments).lower(lowering_platforms=("cuda",))
    # The name of the folder is new each time; otherwise XLA would find the kernel in its cache and
    # dump nothing.
    compiled = lowered.compile(compiler_options={"xla_dump_to": folder, **EMITTER_DUMP})
    emitted = [source.read_text() for source in pathlib.Path(folder).glob("*.ptx")]
    if "mosaic_gpu" in lowered.as_text() and not any("mosaic" in text for text in emitted):
        raise RuntimeError("Mosaic took a kernel from its cache; compile it for other sizes")
    return compiled


def kernels_of(source: pathlib.Path, size: int) -> list[Kernel]:
    text = source.read_text()
    architecture = re.search(r"^\.target (\w+)", text, re.MULTILINE)
    assert architecture, f"{source.name} names no target"
    binary = source.with_suffix(".cubin")
    assembled = subprocess.run(
        [_tool("ptxas"), "-v", f"-arch={architecture[1]}", str(source), "-o", str(binary)],
        check=True,
        capture_output=True,
        text=True,
    )
    listing = subprocess.run(
        [_tool("nvdisasm"), "-c", str(binary)], check=True, capture_output=True, text=True
    ).stdout
    spilled = sum(int(n) for n in re.findall(r"(\d+) bytes spill", assembled.stderr))
    used = re.findall(r"Used (\d+) registers", assembled.stderr)
    registers = max(map(int, used), default=0)  # a file may have no kernel
    kernels = []
    for section in re.split(r"^\s*\.section\s+\.text\.", listing, flags=re.MULTILINE)[1:]:
        code = re.findall(r"^\s*/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;", section, re.MULTILINE)
        stores = _widths(code, "STG")
        kernels.append(
            Kernel(
                name=re.split(r"[\s,\"]", section, maxsplit=1)[0],
                instructions=len(_without_padding(code)),
                elements=max(1, sum(stores) // size),
                loads=_widths(code, "LDG"),
                stores=stores,
                spilled=spilled,
                registers=registers,
            )
        )
    return kernels


def _without_padding(code: list[str]) -> list[str]:
    """Removes the branch to itself and the NOPs that pad the last cache line."""
    end = max(i for i, instruction in enumerate(code) if "EXIT" in instruction)
    return code[: end + 1]


def _widths(code: list[str], operation: str) -> tuple[int, ...]:
    widths = []
    for instruction in code:
        found = re.search(rf"\b{operation}\.([\w.]+)", instruction)
        if found:
            flags = found[1].split(".")
            bits = next((int(f) for f in flags if f in ("64", "128")), None)
            widths.append(bits // 8 if bits else _narrow(flags))
    return tuple(widths)


def _narrow(flags: list[str]) -> int:
    return next((int(f[1:]) // 8 for f in flags if f in ("U8", "S8", "U16", "S16")), 4)


def _tool(name: str) -> str:
    """Returns the path of a CUDA tool, from the wheels or from PATH."""
    for folder in {*map(pathlib.Path, sys.path), _site()}:
        for found in folder.glob(f"nvidia/cu*/bin/{name}"):
            return str(found)
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is in no wheel and not on PATH; see scripts/setup_aot.sh")
    return found


def _site() -> pathlib.Path:
    return pathlib.Path(sysconfig.get_path("purelib"))
