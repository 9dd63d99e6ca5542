"""The suites: each is rows of contenders that are timed against each other."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import jax

from bench.contenders import DRAWN, KEYS, contenders, drawn, missing
from bench.expectations import EXPECTATIONS, LIMITS, OF_MAPS, WITHOUT_GRADIENT
from bench.measure import Row, Setting

MAIN = (*LIMITS, "dropout", "gaussian_noise")
FLAT = tuple(work for work in EXPECTATIONS if work not in OF_MAPS)
GRADIENT = tuple(work for work in FLAT if work not in WITHOUT_GRADIENT)
MAPS = (*LIMITS, *OF_MAPS)

# Setting and works. A fresh result of more than 16 MB would be timed by the page faults of its
# memory. The key suite has the rest of the functions of jax.random.
LAYERS: tuple[tuple[Setting, Sequence[str]], ...] = (
    (Setting((1024,), mode="eager"), MAIN),
    (Setting((1024,)), MAIN),
    (Setting((256, 1024)), (*MAIN, "normal")),
    (Setting((1024, 1024)), FLAT),
    (Setting((4096, 1024)), (*MAIN, "normal")),
    (Setting((16384, 1024), mode="donated"), MAIN),
    (Setting((32, 32, 32, 32)), MAPS),
    (Setting((1024, 1024), "bfloat16"), MAIN),
    (Setting((1024, 1024), direction="gradient"), GRADIENT),
    (Setting((1024, 1024), "bfloat16", "gradient"), MAIN),
    (Setting((32, 32, 32, 32), direction="gradient"), MAPS),
)
QUICK = (
    (Setting((1024, 1024)), MAIN),
    (Setting((1024, 1024), direction="gradient"), MAIN),
)
# Arrays that fill a GPU or TPU.
DEVICE = tuple(
    (Setting((65536, 1024), dtype, direction), (*MAIN, "chain"))
    for dtype in ("float32", "bfloat16")
    for direction in ("forward", "gradient")
)


def _of_table(table: Sequence[tuple[Setting, Sequence[str]]], only: str) -> Iterator[Row]:
    """With the limits beside the works that are wanted."""
    platform = jax.default_backend()
    for setting, works in table:
        wanted = [work for work in works if only in work]
        if wanted:
            both = dict.fromkeys((*(work for work in works if work in LIMITS), *wanted))
            yield Row(setting, contenders(platform, *both))


def layers(quick: bool, only: str) -> Iterator[Row]:
    """Every function of flaxnoise against its baselines."""
    yield from _of_table(QUICK if quick else LAYERS, only)


def device(quick: bool, only: str) -> Iterator[Row]:
    """On arrays that fill an accelerator."""
    yield from _of_table(DEVICE[::2] if quick else DEVICE, only)


def attention(quick: bool, only: str) -> Iterator[Row]:
    """Attention with dropout and without, against its length."""
    from bench.attention import rows

    return rows(quick, only)


def models(quick: bool, only: str) -> Iterator[Row]:
    """Training steps of whole models."""
    from bench.models import rows

    return rows(quick, only)


def keys(quick: bool, only: str) -> Iterator[Row]:
    """What draws by jax.random, under each implementation of keys; a model's training step, too."""
    gone = missing(jax.default_backend())
    for work, (library, _) in DRAWN.items():
        if only in work and library not in gone:
            shape = (1 << 20,) if work == "permutation" else (1024, 1024)  # of whole rows
            yield Row(Setting(shape), drawn(work, *KEYS))
    if not quick and only in "transformer on text" and "flax.linen" not in gone:
        from bench.models import key_row

        yield key_row(tuple(KEYS))


def compile_time(quick: bool, only: str) -> Iterator[Row]:
    """Seconds to lower and compile many equal layers, and how long their text is."""
    from bench.compile import rows

    return rows(quick, only)


def scaling(quick: bool, only: str) -> Iterator[Row]:
    """Training steps on several simulated devices."""
    from bench.scaling import rows

    return rows(quick, only)


class Suite(NamedTuple):
    """How a suite is run.

    Attributes:
        rows: (quick, only) -> the rows; ``only`` is part of the names of works.
        one_thread: whether it is timed on one CPU as well as on all.
        devices: how many devices the CPU is to simulate.
        ahead_of_time: whether it has rows for what compiles for GPUs and TPUs, too.
        rounds: samples of each contender.
        in_all: whether ``python -m bench all`` has it.
    """

    rows: Callable[[bool, str], Iterable[Row]]
    one_thread: bool = False
    devices: int = 1
    ahead_of_time: bool = False
    rounds: int = 15
    in_all: bool = True


SUITES = {
    "layers": Suite(layers, one_thread=True),
    "models": Suite(models),
    "attention": Suite(attention),
    "keys": Suite(keys),
    "compile": Suite(compile_time, ahead_of_time=True, rounds=7),
    "scaling": Suite(scaling, devices=8),
    "device": Suite(device, in_all=False),
}
