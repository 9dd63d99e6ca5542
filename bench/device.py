"""What to run on a GPU or TPU: is the noise right, and if so, how fast.

    python bench/device.py [--elements N] [--samples N] [--works dropout …] [--output FILE]

First every backend that serves the device is compared with the NumPy reference of the tests; one
wrong bit, or a normal that is off by more than 8 ulp, and nothing is timed. What a backend refuses
is named with its reason. Then medians: ours by each backend, Flax with threefry and rbg keys, torch
where it has the device (forward alone), on one array, forward and gradient, in float32 and
bfloat16; each also as a share of the speed of a copy. The result names device and versions.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import math
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # run as a script
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "support"))

import flaxnoise
import reference

RATE, STDDEV = 0.3, 0.1
KERNELS = {"gpu": "mosaic_gpu", "tpu": "mosaic_tpu", "cpu": "cpu"}
SHAPES = ((7,), (33, 129), (3, 1371), (2, 4096), (5, 1031))  # tails of every kind, and none
# Several blocks of rows, rows that are chunks together, and a size that is cut in two on GPU.
LARGE = ((600, 1024), (258, 768), (1031, 1025))
ULPS = 8  # of float32: compilers may fuse multiplications and additions, or not
SAMPLE = 0.02  # seconds that a sample takes at least, so that launches overlap


class Work(NamedTuple):
    """One thing to time: whose it is, what it does, and the call that does it."""

    name: str
    by: str
    dtype: str
    call: Callable[[], Any]
    wait: Callable[[Any], Any] = jax.block_until_ready


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    served = backends()
    report = {"how": "measured", **_environment(), "elements": options.elements}
    report["refused"] = refused = {name: reason for name, reason in served.items() if reason}
    names = [name for name, reason in served.items() if not reason]
    report["wrong"] = wrong = [line for name in names for line in errors(name, refused)]
    if not wrong:
        found = works(names, options.works, options.elements, refused)
        report["rows"] = measured(found, options.samples)
        _print(report)
    for line in wrong:
        print(f"wrong: {line}")
    if options.output:
        options.output.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return 1 if wrong else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elements", type=int, default=1 << 26)
    parser.add_argument("--samples", type=int, default=21)
    parser.add_argument("--works", nargs="+", default=list(OURS), choices=OURS)
    parser.add_argument("--output", type=pathlib.Path)
    return parser.parse_args(arguments)


def _environment() -> dict[str, Any]:
    names = ("jax", "jaxlib", "flax", "torch", "jax-cuda13-plugin", "jax-cuda12-plugin", "libtpu")
    found = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    device = jax.devices()[0]
    return {
        "device": device.device_kind,
        "platform": device.platform,
        "versions": {name: found[name] for name in names if name in found},
    }


def backends() -> dict[str, str | None]:
    """The backends that may serve this device, and why one does not."""
    result: dict[str, str | None] = {"xla": None}
    name = KERNELS.get(jax.default_backend())
    if name is None:
        return result
    try:
        jax.block_until_ready(on(name, _mask)(jax.random.key(0), jnp.zeros(4096)))
    except (NotImplementedError, ValueError) as error:
        return {**result, name: str(error)}
    return {**result, name: None}


def _mask(key: jax.Array, x: jax.Array) -> jax.Array:
    return flaxnoise.random.keep_mask(key, x.shape, RATE)


def on(name: str, function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """The function, jitted for a backend."""

    def forced(*arguments):
        with flaxnoise.backend(name):
            return function(*arguments)

    return jax.jit(forced)


def errors(name: str, refused: dict[str, str]) -> Iterator[str]:
    """What a backend computes otherwise than the reference; nothing, if it is right.

    What it refuses is added to ``refused``, by its name and that of the work.
    """
    key = jax.random.key(2026)
    words = reference.key_words(key)
    for shape in (*SHAPES, *LARGE):
        i = np.arange(math.prod(shape), dtype=np.uint64).reshape(shape)
        x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        mask = reference.keep(words, i, RATE)
        scale = np.float32(2**31) / np.float32(2**31 - reference.threshold(RATE))
        kept = np.where(mask, x * scale, np.float32(0))
        exact = {
            "bits": (lambda key, x: flaxnoise.random.bits(key, x.shape), reference.bits(words, i)),
            "mask": (_mask, mask),
            "dropout": (dropout, kept),
            "gradient of dropout": (gradient(dropout), kept),
        }
        for what, (function, expected) in exact.items():
            if not np.array_equal(on(name, function)(key, jnp.asarray(x)), expected):
                yield f"{name}: {what} of {shape}"
        half = jnp.asarray(x, jnp.bfloat16)
        product = np.where(mask, np.asarray(half, np.float32) * scale, np.float32(0))
        if not np.array_equal(on(name, dropout)(key, half), product.astype(jnp.bfloat16)):
            yield f"{name}: dropout in bfloat16 of {shape}"
        n = reference.normal(words, i)
        # Ulps of n, and of a sum in which n, below 7, counts a tenth.
        for what, function, expected, scale in (
            ("normals", lambda key, x: flaxnoise.random.normal(key, x.shape), n, n),
            ("gaussian_noise", gaussian_noise, x + STDDEV * n, abs(x) + 1),
        ):
            try:
                y = on(name, function)(key, jnp.asarray(x))
            except NotImplementedError as error:
                refused[f"{name}: {what}"] = str(error)
                continue
            if not np.all(abs(y - expected) <= ULPS * np.spacing(np.float32(abs(scale)))):
                yield f"{name}: {what} of {shape}"
    keys = jax.random.split(key, 3)
    masks = on(name, jax.vmap(lambda key: flaxnoise.random.keep_mask(key, (33, 132), RATE)))(keys)
    i = np.arange(33 * 132, dtype=np.uint64).reshape(33, 132)
    own = [reference.keep(reference.key_words(key), i, RATE) for key in keys]
    if not np.array_equal(masks, np.stack(own)):
        yield f"{name}: masks of a key per example"


def dropout(key: jax.Array, x: jax.Array) -> jax.Array:
    return flaxnoise.dropout(key, x, RATE)


def gaussian_noise(key: jax.Array, x: jax.Array) -> jax.Array:
    return flaxnoise.gaussian_noise(key, x, STDDEV)


def chain(noise: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Bias (a number here), gelu, noise, residual: what is around dropout in a transformer."""
    return lambda key, x: x + noise(key, jax.nn.gelu(x + jnp.ones((), x.dtype)))


def gradient(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """The backward pass alone."""
    return lambda key, dy: jax.vjp(lambda x: function(key, x), dy)[1](dy)[0]


def flax_dropout(key: jax.Array, x: jax.Array) -> jax.Array:
    return linen.Dropout(RATE, deterministic=False).apply({}, x, rngs={"dropout": key})


def jax_normal(key: jax.Array, x: jax.Array) -> jax.Array:
    return x + jnp.asarray(STDDEV, x.dtype) * jax.random.normal(key, x.shape, x.dtype)


OURS = {"dropout": dropout, "gaussian_noise": gaussian_noise, "chain": chain(dropout)}
THEIRS = {
    "dropout": ("flax", flax_dropout),
    "gaussian_noise": ("jax.random", jax_normal),
    "chain": ("flax", chain(flax_dropout)),
}


def works(
    names: Sequence[str], wanted: Sequence[str], elements: int, refused: dict[str, str]
) -> list[Work]:
    """All that is timed; the copy that sets the limit first. Not what a backend refused."""
    keys = {kind: jax.random.key(0, impl=kind) for kind in ("threefry2x32", "rbg")}
    result: list[Work] = []

    def add(what: str, by: str, dtype: str, call: Callable[..., jax.Array], *given: Any) -> None:
        result.append(Work(what, by, dtype, lambda: call(*given)))

    for dtype in ("float32", "bfloat16"):
        x = jnp.linspace(-2, 2, elements).astype(dtype)
        add("copy", "xla", dtype, jax.jit(lambda x: x * jnp.asarray(1.25, x.dtype)), x)
        for what in wanted:
            has_gradient = what != "gaussian_noise"  # whose gradient is the identity
            for name in names:
                if f"{name}: {what}" in refused:
                    continue
                key = keys["threefry2x32"]
                add(what, name, dtype, on(name, OURS[what]), key, x)
                if has_gradient:
                    add(f"{what}, gradient", name, dtype, on(name, gradient(OURS[what])), key, x)
            library, function = THEIRS[what]
            for kind, key in keys.items():
                by = f"{library}, {kind}"
                add(what, by, dtype, jax.jit(function), key, x)
                if has_gradient:
                    add(f"{what}, gradient", by, dtype, jax.jit(gradient(function)), key, x)
        result += [work for work in _torch(elements, dtype) if work.name in wanted]
    return result


def _torch(elements: int, dtype: str) -> list[Work]:
    """The same by torch, where it is installed and has a GPU."""
    if jax.default_backend() != "gpu" or importlib.util.find_spec("torch") is None:
        return []
    import torch

    if not torch.cuda.is_available():
        return []
    x = torch.linspace(-2, 2, elements, device="cuda").to(getattr(torch, dtype))
    calls = {
        "dropout": lambda: torch.nn.functional.dropout(x, RATE),
        "gaussian_noise": lambda: x + STDDEV * torch.randn_like(x),
    }

    def wait(_: Any) -> None:
        torch.cuda.synchronize()

    return [Work(what, "torch", dtype, call, wait) for what, call in calls.items()]


def measured(works: Sequence[Work], samples: int) -> list[dict[str, Any]]:
    """Medians of seconds a call; the works take turns, so that the device's moods hit all."""
    repeats = []
    for work in works:
        work.wait(work.call())  # compiles
        once = _seconds(work, 3) / 3
        repeats.append(max(1, math.ceil(SAMPLE / once)))
    taken = [[] for _ in works]
    for _ in range(samples):
        for work, number, own in zip(works, repeats, taken, strict=True):
            own.append(_seconds(work, number) / number)
    medians = [statistics.median(own) for own in taken]
    limits = {w.dtype: m for w, m in zip(works, medians, strict=True) if w.name == "copy"}
    return [
        {
            "work": work.name,
            "by": work.by,
            "dtype": work.dtype,
            "seconds": median,
            "quartiles": statistics.quantiles(own, n=4)[::2] if len(own) > 1 else [median] * 2,
            "share_of_copy": limits[work.dtype] / median,
        }
        for work, median, own in zip(works, medians, taken, strict=True)
    ]


def _seconds(work: Work, number: int) -> float:
    start = time.perf_counter()
    result = None
    for _ in range(number):
        result = work.call()
    work.wait(result)
    return time.perf_counter() - start


def _print(report: dict[str, Any]) -> None:
    print(f"{report['device']}, {report['elements']} elements, {report['versions']}")
    for row in report["rows"]:
        size = jnp.dtype(row["dtype"]).itemsize
        moved = 2 * size * report["elements"] / row["seconds"] / 1e9
        print(
            f"{row['work']:<26}{row['by']:<26}{row['dtype']:<10}{row['seconds'] * 1e6:>10.1f} µs"
            f"{moved:>9.1f} GB/s{row['share_of_copy']:>7.1%} of a copy"
        )


if __name__ == "__main__":
    raise SystemExit(main())
