"""Compiles a jax function for a TPU without having one, and counts the bundles of its loops.

Needs the wheel libtpu (the extra aot-tpu, see scripts/setup_aot.sh). A bundle is what a TPU's core
issues in a cycle; waiting for memory is not in it. What comes out was compiled, not run.
"""

import atexit
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Callable
from typing import NamedTuple

import jax
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

TOPOLOGIES = {
    "v4": "v4:2x2x1",
    "v5e": "v5e:2x2",
    "v5p": "v5p:2x2x1",
    "v6e": "v6e:2x2",
    "tpu7x": "tpu7x:2x2x1",
}
REGISTER_BYTES = 4096
# By a turn of a loop that goes over a whole array, and by what does a whole array without a loop.
LEAST_STORED, LEAST_WITHOUT_LOOP = 4 * REGISTER_BYTES, 256 * REGISTER_BYTES

_LISTING = re.compile(r"\d+-(.+)-\d+-final_bundles\.txt")
_BUNDLE = re.compile(r"\s*0x[0-9a-f]+\s+(?P<label>\w*)\s*:?\s*:?\s*(?P<depth>>*) *\{")
_STORE = re.compile(
    r"\bvst(?:\.\S+)? \[vmem:\[(?:%s|#allocation\d+(?!\d|_spill))[^\]]*\]"
    r" sm:\$0x(?P<rows>[0-9a-f]+)\]"
)
_SPILL = re.compile(r"\bvst(?:\.\S+)? \[vmem:\[#allocation\d+_spill")


class Kernel(NamedTuple):
    """The innermost loop of a kernel, in which nearly all of its time goes.

    Attributes:
        name: as XLA gave it.
        bundles: of one turn.
        stored: bytes that one turn stores, in full registers of results.
        spilled: registers that one turn stores for want of registers.
    """

    name: str
    bundles: int
    stored: int
    spilled: int


class Program(NamedTuple):
    """A compiled program: its kernels with loops, and the bytes of its temporaries."""

    kernels: tuple[Kernel, ...]
    temporary_bytes: int

    def bundles_per_1024(self, itemsize: int) -> float:
        """Bundles for 1024 elements of this size, summed over the kernels that go over all."""
        return sum(k.bundles * 1024 * itemsize / k.stored for k in self.kernels)


def compile_for(
    device: str,
    function: Callable[..., jax.Array],
    *arguments: jax.ShapeDtypeStruct,
) -> Program:
    """Compiles for one of aot.TPUS. Not for two programs at once in a process."""
    folder = _dumps()
    # Without a device of the topology, compile() would silently compile for the CPU.
    place = SingleDeviceSharding(topology(device).devices[0])
    placed = [jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place) for a in arguments]
    for old in folder.iterdir():
        old.unlink()
    lowered = jax.jit(function).trace(*placed).lower(lowering_platforms=("tpu",))
    memory = lowered.compile().memory_analysis()
    assert memory is not None
    kernels = [_kernel(listing) for listing in sorted(folder.glob("*final_bundles.txt"))]
    return Program(tuple(k for k in kernels if k is not None), memory.temp_size_in_bytes)


def topology(device: str) -> topologies.TopologyDescription:
    return topologies.get_topology_desc(platform="tpu", topology_name=TOPOLOGIES[device])


def _dumps() -> pathlib.Path:
    """Where libtpu writes its listings: told by the environment when it is loaded, so only once."""
    option = "--xla_jf_dump_to="
    found = re.search(rf"{option}(\S+)", os.environ.get("LIBTPU_INIT_ARGS", ""))
    if found:
        return pathlib.Path(found[1])
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["LIBTPU_INIT_ARGS"] = f"{option}{folder} --xla_jf_dump_llo_text=true"
    return pathlib.Path(folder)


def compiled_names() -> list[str]:
    """Of all that was compiled last, kernels without loops included."""
    found = (_LISTING.fullmatch(listing.name) for listing in _dumps().iterdir())
    return [name[1] for name in found if name is not None]


def _kernel(listing: pathlib.Path) -> Kernel | None:
    """Of one file of final bundles; None for what is no kernel, or prepares keys and the like."""
    name = _LISTING.fullmatch(listing.name)
    if name is None or name[1] == "TLP" or name[1].startswith("<"):
        return None
    lines = listing.read_text().splitlines()
    loops = _innermost(lines)
    loop = max(loops or [lines], key=len)
    loop = [line for line in loop if _BUNDLE.match(line)]
    text = "\n".join(loop)
    rows = sum(int(found["rows"], 16).bit_count() for found in _STORE.finditer(text))
    stored = rows * REGISTER_BYTES // 8
    if stored < (LEAST_STORED if loops else LEAST_WITHOUT_LOOP):
        return None
    return Kernel(name[1], len(loop), stored, len(_SPILL.findall(text)))


def _innermost(lines: list[str]) -> list[list[str]]:
    """The bundles of each loop of the greatest depth.

    A loop reaches from its label to its last bundle of that depth; bundles in between that are
    marked otherwise belong to it.
    """
    bundles = [(found, line) for line in lines if (found := _BUNDLE.match(line))]
    depths = [len(found["depth"]) for found, _ in bundles]
    deepest = max(depths, default=0)
    if deepest == 0:
        return []
    first = [
        i for i, (found, _) in enumerate(bundles) if found["label"] == "LB" and depths[i] == deepest
    ]
    loops = []
    for begin, end in zip(first, [*first[1:], len(bundles)], strict=True):
        last = max(i for i in range(begin, end) if depths[i] == deepest)
        loops.append([line for _, line in bundles[begin : last + 1]])
    return loops
