"""Checks the noise on a GPU or TPU, then times it.

    python bench/device.py [--suites device keys …] [--minutes 7] [--output FILE]

Every backend of the device is first compared with the NumPy reference of the tests. If one bit is
wrong, or a normal is off by more than 8 ulp, nothing is timed. What a backend refuses is printed
with its reason. Then the suites are timed in one process, with the contenders that run on the
device: on arrays that fill it, under all key implementations, in whole models, in attention, at
compile time, and on small arrays. The suites share the time that is left. scripts/device.sh runs
this on a machine without a network.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]  # run as a script

import flaxnoise  # noqa: E402
import reference  # noqa: E402
from bench import report, results  # noqa: E402
from bench.contenders import KERNELS, OURS, on_backend  # noqa: E402
from bench.expectations import RATE, STDDEV  # noqa: E402
from bench.measure import Record, Row  # noqa: E402
from bench.suites import SUITES  # noqa: E402

SHAPES = ((7,), (33, 129), (3, 1371), (2, 4096), (5, 1031))  # with tails of every kind and without
# Several blocks of rows, rows that form whole chunks together, and a size that XLA on GPU computes
# in two kernels.
LARGE = ((600, 1024), (258, 768), (1031, 1025))
ULPS = 8  # of float32: a compiler is free to fuse multiplications and additions

Function = Callable[..., jax.Array]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [name for name, suite in SUITES.items() if suite.devices == 1]
    parser.add_argument("--suites", nargs="*", default=[*DEFAULT], choices=names)
    parser.add_argument("--only", default="", help="works whose name contains this")
    parser.add_argument("--rounds", type=int, default=15, help="samples of each contender")
    parser.add_argument("--minutes", type=float, default=7.0, help="after which no row is begun")
    parser.add_argument("--output", type=Path, default=Path("out", "device.jsonl"))
    options = parser.parse_args(arguments)
    end = time.monotonic() + 60 * options.minutes
    load, command = results.load(), results.command()
    served = backends()
    wrong = [line for name, reason in served.items() if not reason for line in errors(name)]
    records: list[Record] = []
    suites = [] if wrong else options.suites
    for i, name in enumerate(suites):
        now = time.monotonic()
        share = now + max(0.0, end - now) / (len(suites) - i)
        rounds = min(options.rounds, SUITES[name].rounds)
        run = results.describe(name, 0, load, command) | {"refused": served}
        try:
            rows = until(share, SUITES[name].rows(False, options.only))
            records += report.records(name, rows, rounds, run)
        except ImportError as error:
            print(f"no suite {name}: {error}")
        results.write(options.output, records)  # now, in case that a later suite is stopped
    report.show(records)
    for line in wrong:
        print(f"wrong: {line}")
    results.write(options.output, records)
    return 1 if wrong or results.of(records, "refused") else 0


DEFAULT = ("device", "keys", "models", "attention", "compile", "layers")


def until(end: float, rows: Iterable[Row]) -> Iterator[Row]:
    """Yields rows until time.monotonic() reaches ``end``."""
    for row in rows:
        if time.monotonic() > end:
            print(f"no time left for {row.setting}")
            return
        yield row


def backends() -> dict[str, str | None]:
    """The backends of this device → None, or why one refuses it."""
    found: dict[str, str | None] = {"xla": None}
    name = KERNELS.get(jax.default_backend(), "xla")
    try:
        jax.block_until_ready(on(name, _mask)(jax.random.key(0), jnp.zeros(4096)))
    except (NotImplementedError, ValueError) as error:
        return {**found, name: str(error)}
    return {**found, name: None}


def _mask(key: jax.Array, x: jax.Array) -> jax.Array:
    return flaxnoise.random.keep_mask(key, x.shape, RATE)


def on(name: str, function: Function) -> Function:
    return jax.jit(on_backend(name, function))


def errors(name: str) -> Iterator[str]:
    """Yields a line for each result of a backend that differs from the reference."""
    key = jax.random.key(2026)
    words = reference.key_words(key)
    refused: dict[str, str] = {}
    for shape in (*SHAPES, *LARGE):
        i = np.arange(math.prod(shape), dtype=np.uint64).reshape(shape)
        x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        half = jnp.asarray(x, jnp.bfloat16)
        mask, n = reference.keep(words, i, RATE), reference.normal(words, i)
        scale = np.float32(2**31) / np.float32(2**31 - reference.threshold(RATE))
        kept = np.where(mask, x * scale, np.float32(0))
        narrow = np.where(mask, np.asarray(half, np.float32) * scale, np.float32(0))
        backward = _gradient(OURS["dropout"])
        # Name, function, x, expected result, and the magnitudes whose ulps bound the error (None:
        # exact).
        for what, function, given, right, size in (
            ("bits", _bits, x, reference.bits(words, i), None),
            ("mask", _mask, x, mask, None),
            ("dropout", OURS["dropout"], x, kept, None),
            ("gradient of dropout", backward, x, kept, None),
            ("dropout in bfloat16", OURS["dropout"], half, narrow.astype(jnp.bfloat16), None),
            ("normals", OURS["normal"], x, n, n),
            # The terms are x and STDDEV·n, which is at most 0.3·6.67 = 2.
            ("gaussian_noise", OURS["gaussian_noise"], x, x + STDDEV * n, abs(x) + 2),
        ):
            try:
                y = np.asarray(on(name, function)(key, jnp.asarray(given)))
            except NotImplementedError as error:
                refused[what] = str(error)
                continue
            allowed = 0 if size is None else ULPS * np.spacing(np.float32(abs(size)))
            off = y != right if size is None else abs(y - right) > allowed
            if off.any():
                yield f"{name}: {what} of {shape}"
    keys = jax.random.split(key, 3)
    masks = on(name, jax.vmap(lambda key: flaxnoise.random.keep_mask(key, (33, 132), RATE)))(keys)
    i = np.arange(33 * 132, dtype=np.uint64).reshape(33, 132)
    own = [reference.keep(reference.key_words(key), i, RATE) for key in keys]
    if not np.array_equal(masks, np.stack(own)):
        yield f"{name}: masks of a key per example"
    for what, reason in refused.items():
        print(f"{name} refuses {what}: {reason}")


def _bits(key: jax.Array, x: jax.Array) -> jax.Array:
    return flaxnoise.random.bits(key, x.shape)


def _gradient(function: Function) -> Function:
    """Returns the backward pass of the function alone."""
    return lambda key, dy: jax.vjp(lambda x: function(key, x), dy)[1](dy)[0]


if __name__ == "__main__":
    raise SystemExit(main())
