"""The rows of bench.cpu_goals: two things to do, how many elements they treat, and the goal."""

import functools
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import flaxnoise
from bench.machine import processor
from bench.timing import Work, interleaved, seconds
from flaxnoise.backends import cpu, cpu_library

try:
    import torch
except ImportError:
    torch = None

KEY = jax.random.key(0)
RATE, STDDEV = 0.1, 0.3
KI, MI = 1 << 10, 1 << 20


class Row(NamedTuple):
    """Two sides, timed; ``goal`` bounds ours / other."""

    name: str
    elements: int
    ours: Work
    other: Work
    goal: float


def rows() -> Iterator[Row]:
    for size in (256 * KI, MI, 4 * MI):
        x = ones(size)
        yield Row(f"dropout / x*1.25, {text(size)}", size, on(drop(), x), on(scale(), x), 2.0)
    size = 16 * MI
    yield Row(
        f"dropout / x*1.25, {text(size)} donated",
        size,
        donated(lambda x: flaxnoise.dropout(KEY, x, RATE), size),
        donated(lambda x: x * 1.25, size),
        1.3,
    )
    for size in (256 * KI, MI, 4 * MI):
        x = ones(size)
        for impl, goal in ((None, 1 / 20), ("philox2x32", 1 / 3)):
            name = f"dropout / flax Dropout, {impl or 'default'} key, {text(size)}"
            yield Row(name, size, on(drop(), x), on(flax_dropout(impl), x), goal)
    for size in (256 * KI, 4 * MI):
        x = ones(size)
        name = f"gaussian_noise / x + s*jax.random.normal, {text(size)}"
        yield Row(name, size, on(noisy(), x), on(jax_noisy(), x), 1 / 10)
        if torch is not None:
            t = torch.ones(size)
            other = functools.partial(lambda t: t + STDDEV * torch.randn(t.shape), t)
            name = f"gaussian_noise / torch's x + s*randn, {text(size)}"
            yield Row(name, size, on(noisy(), x), other, 1 / 3)
    for size in (256 * KI, MI, 4 * MI):
        x = ones(size)
        narrow = x.astype(jnp.bfloat16)
        name = f"dropout bfloat16 / float32, {text(size)}"
        yield Row(name, size, on(drop(), narrow), on(drop(), x), 1.1)
    for size in (256 * KI, 4 * MI):
        generator = np.random.Generator(np.random.SFC64(0))
        ours = jax.jit(functools.partial(lambda n: flaxnoise.random.normal(KEY, (n,)), size))
        other = functools.partial(generator.standard_normal, size, dtype=np.float32)
        name = f"random.normal / NumPy SFC64 standard_normal, {text(size)}"
        yield Row(name, size, on(ours), other, 1 / 5)
    plain, dropping = training_step(None), training_step(RATE)
    yield Row("training step with dropout / without", 512 * 2048, dropping, plain, 1.05)


def print_table(threads: int, only: str, rounds: int) -> None:
    packages = " ".join(f"{name} {version(name)}" for name in ("jax", "jaxlib", "flax", "numpy"))
    print(f"\n{threads} thread(s), {cpu_library.simd_target()}, {processor()}, {packages}")
    print(f"{'':58}{'ours':>8}{'other':>8}{'wall':>8}{'CPU':>8}{'goal':>7}")
    print(f"{'':58}{'ns/el':>8}{'ns/el':>8}{'ratio':>8}{'ratio':>8}")
    for row in rows():
        if only in row.name:
            ours, other = timed(row, rounds)
            ratios = [a / b for a, b in zip(ours, other, strict=True)]
            nanoseconds = [side[0] / row.elements * 1e9 for side in (ours, other)]
            line(row.name, [*nanoseconds, *ratios], row.goal)
    if only in "bytes added by dropout":
        line("bytes added by dropout, per element, of a gradient", [added_bytes()], 0.1)
    if only in "compile time":
        ours, other = compile_seconds(ours=True), compile_seconds(ours=False)
        line("compile time of 24 dropouts / with bernoulli", [ours / other], 0.7)


def line(name: str, numbers: list[float], goal: float) -> None:
    met = "" if numbers[-1] <= goal else "  missed"
    cells = "".join(f"{number:8.3f}" for number in numbers)
    print(f"{name:58}{' ' * 8 * (4 - len(numbers))}{cells}{goal:7.3f}{met}", flush=True)


def timed(row: Row, rounds: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """(wall, CPU) seconds of a call of each side: medians of interleaved samples."""
    samples = interleaved((row.ours, row.other), rounds)
    ours, other = (np.median(side, axis=0) for side in samples)
    return (ours[0], ours[1]), (other[0], other[1])


def on(function: Callable, *arguments: jax.Array) -> Work:
    return lambda: jax.block_until_ready(function(*arguments))


def donated(function: Callable[[jax.Array], jax.Array], size: int) -> Work:
    program = jax.jit(function, donate_argnums=0)
    held = [ones(size)]

    def step() -> None:
        held[0] = jax.block_until_ready(program(held[0]))

    return step


def drop() -> Callable:
    program = jax.jit(lambda x: flaxnoise.dropout(KEY, x, RATE))
    assert cpu.TARGET in program.lower(ones(8)).as_text()
    return program


def scale() -> Callable:
    return jax.jit(lambda x: x * 1.25)


def noisy() -> Callable:
    return jax.jit(lambda x: flaxnoise.gaussian_noise(KEY, x, STDDEV))


def jax_noisy() -> Callable:
    return jax.jit(lambda x: x + STDDEV * jax.random.normal(KEY, x.shape))


def flax_dropout(impl: str | None) -> Callable:
    key = jax.random.key(0, impl=impl)
    layer = nn.Dropout(RATE, deterministic=False)
    return jax.jit(lambda x: layer.apply({}, x, rngs={"dropout": key}))


def training_step(rate: float | None) -> Work:
    """A step of adam on an MLP 512 → 2048 → 512, 512 examples."""
    optimiser = optax.adam(1e-3)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(512, 512)), jnp.float32)
    weights = [jnp.full((512, 2048), 0.01), jnp.full((2048, 512), 0.01)]

    def loss(weights: list[jax.Array]) -> jax.Array:
        hidden = jax.nn.gelu(x @ weights[0])
        if rate is not None:
            hidden = flaxnoise.dropout(KEY, hidden, rate)
        return jnp.mean((hidden @ weights[1] - x) ** 2)

    def step(weights: list[jax.Array], state: optax.OptState):
        updates, state = optimiser.update(jax.grad(loss)(weights), state)
        return optax.apply_updates(weights, updates), state

    program = jax.jit(step, donate_argnums=(0, 1))
    held = [weights, optimiser.init(weights)]

    def run() -> None:
        held[:] = jax.block_until_ready(program(*held))

    return run


def added_bytes() -> float:
    """Temporary bytes an element of a gradient of four times Dense, gelu, dropout, and a head."""
    layers, batch, width = 4, 256, 512
    kernels, x = [ones((width, width))] * layers, ones((batch, width))

    def temporaries(layer: Callable) -> int:
        def loss(kernels: list[jax.Array], keys: jax.Array) -> jax.Array:
            h = x
            for kernel, key in zip(kernels, keys, strict=True):
                h = layer(key, jax.nn.gelu(h @ kernel))
            return jnp.sum((h @ kernels[0]) ** 2)

        compiled = jax.jit(jax.grad(loss)).lower(kernels, jax.random.split(KEY, layers)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    ours = temporaries(lambda key, h: flaxnoise.dropout(key, h, RATE))
    return (ours - temporaries(lambda key, h: h)) / (layers * x.size)


def compile_seconds(ours: bool) -> float:
    """To trace, lower and compile 24 dropouts; the least of three, as nothing is cached."""

    def one() -> float:
        def many(x: jax.Array, key: jax.Array) -> jax.Array:
            for i in range(24):
                own = jax.random.fold_in(key, i)
                if ours:
                    x = flaxnoise.dropout(own, jnp.sin(x), RATE)
                else:
                    keep = jax.random.bernoulli(own, 1 - RATE, x.shape)
                    x = jnp.where(keep, jnp.sin(x) / (1 - RATE), 0)
            return x

        jax.clear_caches()
        return seconds(lambda: jax.jit(many).lower(ones((64, 64)), KEY).compile())[0]

    return min(one() for _ in range(3))


def ones(shape: int | tuple[int, ...]) -> jax.Array:
    return jnp.ones(shape, jnp.float32)


def text(size: int) -> str:
    return f"{size // MI} Mi" if size >= MI else f"{size // KI} Ki"
