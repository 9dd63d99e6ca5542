"""The table of suites; each yields rows of contenders that are timed against each other."""

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

# Setting and works. Results of more than 16 MB are donated: the page faults of fresh memory would
# dominate their time. The suite keys has the other functions of jax.random.
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
    """Yields the rows of a table; the memory limits are timed beside the works selected."""
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
    """Dropout and normal noise on arrays that fill an accelerator."""
    yield from _of_table(DEVICE[::2] if quick else DEVICE, only)


def attention(quick: bool, only: str) -> Iterator[Row]:
    """Attention with and without dropout, against the length."""
    from bench.attention import rows

    return rows(quick, only)


def models(quick: bool, only: str) -> Iterator[Row]:
    """Training steps of whole models."""
    from bench.models import rows

    return rows(quick, only)


def keys(quick: bool, only: str) -> Iterator[Row]:
    """Draws of jax.random, and a model's training step, under each key implementation."""
    gone = missing(jax.default_backend())
    for work, (library, _) in DRAWN.items():
        if only in work and library not in gone:
            shape = (1 << 20,) if work == "permutation" else (1024, 1024)  # of whole rows
            yield Row(Setting(shape), drawn(work, *KEYS))
    if not quick and only in "transformer on text" and "flax.linen" not in gone:
        from bench.models import key_row

        yield key_row(tuple(KEYS))


def compile_time(quick: bool, only: str) -> Iterator[Row]:
    """Seconds to lower and compile many equal layers, and the length of the lowered text."""
    from bench.compile import rows

    return rows(quick, only)


def scaling(quick: bool, only: str) -> Iterator[Row]:
    """Training steps on several simulated devices."""
    from bench.scaling import rows

    return rows(quick, only)


class Suite(NamedTuple):
    """How a suite is run.

    Attributes:
        rows: (quick, only) -> the rows of the works whose names contain ``only``.
        one_thread: whether it is timed on one CPU as well as on all.
        devices: how many devices the CPU simulates.
        ahead_of_time: whether it also has rows that are compiled for GPUs and TPUs.
        rounds: samples of each contender.
        in_all: whether ``python -m bench all`` includes it.
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
