"""Compiles a jax function for a TPU without a device, and counts the bundles of its loops.

Needs the wheel libtpu (the extra aot-tpu, see scripts/setup_aot.sh). A bundle is what a TPU core
issues in one cycle; stalls on memory are not counted. Nothing is run.
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
# Least bytes stored by an iteration of a loop over an array, and by a kernel without a loop.
LEAST_STORED, LEAST_WITHOUT_LOOP = 4 * REGISTER_BYTES, 256 * REGISTER_BYTES

_LISTING = re.compile(r"\d+-(.+)-\d+-final_bundles\.txt")
_BUNDLE = re.compile(r"\s*0x[0-9a-f]+\s+(?P<label>\w*)\s*:?\s*:?\s*(?P<depth>>*) *\{")
_STORE = re.compile(
    r"\bvst(?:\.\S+)? \[vmem:\[(?:%s|#allocation\d+(?!\d|_spill))[^\]]*\]"
    r" sm:\$0x(?P<rows>[0-9a-f]+)\]"
)
_SPILL = re.compile(r"\bvst(?:\.\S+)? \[vmem:\[#allocation\d+_spill")


class Kernel(NamedTuple):
    """The innermost loop of a kernel, which takes nearly all of its time.

    Attributes:
        name: the name that XLA gave the kernel.
        bundles: bundles per iteration.
        stored: bytes of results that one iteration stores, in full registers.
        spilled: registers that one iteration spills.
    """

    name: str
    bundles: int
    stored: int
    spilled: int


class Program(NamedTuple):
    """A compiled program: its kernels over whole arrays, and the bytes of its temporaries."""

    kernels: tuple[Kernel, ...]
    temporary_bytes: int

    def bundles_per_1024(self, itemsize: int) -> float:
        """Bundles per 1024 elements of this size, summed over the kernels."""
        return sum(k.bundles * 1024 * itemsize / k.stored for k in self.kernels)


def compile_for(
    device: str,
    function: Callable[..., jax.Array],
    *arguments: jax.ShapeDtypeStruct,
) -> Program:
    """Compiles for one of aot.TPUS. Not thread-safe: libtpu dumps into one folder per process."""
    forget()
    # Without a device of the topology, compile() would silently compile for the CPU.
    place = SingleDeviceSharding(topology(device).devices[0])
    placed = [jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place) for a in arguments]
    lowered = jax.jit(function).trace(*placed).lower(lowering_platforms=("tpu",))
    memory = lowered.compile().memory_analysis()
    assert memory is not None
    kernels = [_kernel(listing) for listing in sorted(_dumps().glob("*final_bundles.txt"))]
    return Program(tuple(k for k in kernels if k is not None), memory.temp_size_in_bytes)


def topology(device: str) -> topologies.TopologyDescription:
    return topologies.get_topology_desc(platform="tpu", topology_name=TOPOLOGIES[device])


def _dumps() -> pathlib.Path:
    """Returns the folder of libtpu's listings; libtpu reads the setting once, when it is loaded."""
    option = "--xla_jf_dump_to="
    found = re.search(rf"{option}(\S+)", os.environ.get("LIBTPU_INIT_ARGS", ""))
    if found:
        return pathlib.Path(found[1])
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["LIBTPU_INIT_ARGS"] = f"{option}{folder} --xla_jf_dump_llo_text=true"
    return pathlib.Path(folder)


def forget() -> None:
    """Removes the listings of earlier programs. Call it before libtpu is loaded."""
    for old in _dumps().iterdir():
        old.unlink()


def compiled_names() -> list[str]:
    """Returns the names of all kernels compiled last, those without loops included."""
    found = (_LISTING.fullmatch(listing.name) for listing in _dumps().iterdir())
    return [name[1] for name in found if name is not None]


def loops(prefix: str) -> dict[str, Kernel]:
    """Returns the longest innermost loop of each kernel compiled last, by the prefix of names."""
    found = {}
    for listing in _dumps().glob("*final_bundles.txt"):
        name = _LISTING.fullmatch(listing.name)
        if name is not None and name[1].startswith(prefix):
            loop = _loop(listing.read_text().splitlines())
            found[name[1].split(".")[0]] = Kernel(name[1], len(loop), *_stores(loop))
    return dict(sorted(found.items()))


def _kernel(listing: pathlib.Path) -> Kernel | None:
    """Parses a listing of final bundles; None unless it is a kernel over a whole array."""
    name = _LISTING.fullmatch(listing.name)
    if name is None or name[1] == "TLP" or name[1].startswith("<"):
        return None
    lines = listing.read_text().splitlines()
    loop = _loop(lines)
    stored, spilled = _stores(loop)
    if stored < (LEAST_STORED if _innermost(lines) else LEAST_WITHOUT_LOOP):
        return None
    return Kernel(name[1], len(loop), stored, spilled)


def _loop(lines: list[str]) -> list[str]:
    """Returns the bundles of the longest innermost loop, or all if there is none."""
    loop = max(_innermost(lines) or [lines], key=len)
    return [line for line in loop if _BUNDLE.match(line)]


def _stores(bundles: list[str]) -> tuple[int, int]:
    """Returns the bytes of results that bundles store, in full registers, and registers spilled."""
    text = "\n".join(bundles)
    rows = sum(int(found["rows"], 16).bit_count() for found in _STORE.finditer(text))
    return rows * REGISTER_BYTES // 8, len(_SPILL.findall(text))


def _innermost(lines: list[str]) -> list[list[str]]:
    """Returns the bundles of each of the most deeply nested loops.

    A loop extends from its label to its last bundle of that depth; bundles in between that are
    marked with another depth belong to it.
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
