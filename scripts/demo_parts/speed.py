"""Part 4: a first look at speed. One run, all contenders in turn, ratios of medians."""

import re
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import flaxnoise
from demo_parts import report

SIZE = 1 << 20  # float32: 4 MB, so that no contender is timed by the pages of a fresh output
ROUNDS = 40
STDDEV = 0.1

Function = Callable[[jax.Array, jax.Array], jax.Array]

CONTENDERS: dict[str, Function] = {
    "x * 1.25": lambda key, x: x * 1.25,
    "flaxnoise.dropout": lambda key, x: flaxnoise.dropout(key, x, 0.5),
    "flax.linen.Dropout": lambda key, x: flax.linen.Dropout(0.5, deterministic=False).apply(
        {}, x, rngs={"dropout": key}
    ),
    "flaxnoise.gaussian_noise": lambda key, x: flaxnoise.gaussian_noise(key, x, STDDEV),
    "x + 0.1 * jax.random.normal": lambda key, x: (
        x + STDDEV * jax.random.normal(key, x.shape, x.dtype)
    ),
}
LIMIT = "x * 1.25"
PAIRS = {
    "flaxnoise.dropout": "flax.linen.Dropout",
    "flaxnoise.gaussian_noise": "x + 0.1 * jax.random.normal",
}


def with_gradient(function: Function) -> Function:
    """y·y and its gradient in x: the forward and the backward pass of a layer."""
    return jax.grad(lambda key, x: jnp.sum(function(key, x) ** 2), argnums=1)


def check(name: str, function: Function, size: int = SIZE) -> None:
    """Statistics that hold to 6 standard errors, for us and for others alike.

    Raises:
        ArithmeticError: what is about to be timed is wrong.
    """
    x = jnp.linspace(1, 2, size)
    y = np.asarray(jax.jit(function)(jax.random.key(1), x))
    limit = 6 / np.sqrt(size)
    if "ropout" in name:
        kept = y != 0
        fine = (y[kept] == 2 * x[kept]).all() and abs(kept.mean() - 0.5) < limit / 2
    elif name == LIMIT:
        fine = (y == 1.25 * x).all()
    else:
        n = (y - np.asarray(x)) / STDDEV
        fine = abs(n.mean()) < limit and abs(n.var() - 1) < limit * np.sqrt(2)
    if not fine:
        raise ArithmeticError(f"{name} gives wrong numbers; nothing was timed.")


class Times(NamedTuple):
    """Medians in nanoseconds an element."""

    wall: float
    cpu: float  # of all threads of this process together


def measure(functions: dict[str, Function], size: int, rounds: int) -> dict[str, Times]:
    """Every round times every function once, in turn, so that they share what disturbs them."""
    x = jnp.linspace(1, 2, size)
    key = jax.random.key(1)
    compiled = {name: jax.jit(function) for name, function in functions.items()}
    for function in compiled.values():
        jax.block_until_ready(function(key, x))
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in compiled.items():
            start = time.perf_counter_ns(), time.process_time_ns()
            jax.block_until_ready(function(key, x))
            end = time.perf_counter_ns(), time.process_time_ns()
            times[name].append(np.subtract(end, start) / size)
    return {name: Times(*np.median(values, axis=0).tolist()) for name, values in times.items()}


def kernel(function: Function, size: int = SIZE) -> str:
    """What the lowered module calls for the noise; the xla backend calls nothing."""
    lowered = jax.jit(function).lower(jax.random.key(1), jnp.zeros(size))
    called = re.findall(r"custom_call @(\w+)", lowered.as_text())
    return f"custom call {called[0]}" if called else "xla's own code"


def show(folder: Path) -> None:
    report.heading(
        4,
        "Speed, a first look",
        f"{SIZE:,} float32 numbers, all jitted; {ROUNDS} rounds of all in turn; medians.",
    )
    device = jax.devices()[0]
    versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "jaxlib", "flax"))
    report.console.print(f"device: {device.platform} ({device.device_kind}); {versions}")
    states = ", ".join(f"{name} {state}" for name, state in flaxnoise.backends().items())
    ours = kernel(CONTENDERS["flaxnoise.dropout"])
    report.console.print(f"flaxnoise runs here as {ours}; its backends: {states}")
    for name, function in CONTENDERS.items():
        check(name, function)
    report.console.print("All contenders give right numbers: the layers' statistics, to 6 σ.")

    forward = measure(CONTENDERS, SIZE, ROUNDS)
    gradients = {name: with_gradient(function) for name, function in CONTENDERS.items()}
    both = measure(gradients, SIZE, ROUNDS)
    for title, times in (("forward", forward), ("forward and backward", both)):
        rows = [
            [
                name,
                f"{own.wall:.2f}",
                f"{own.cpu:.2f}",
                f"{own.wall / times[LIMIT].wall:.1f}",
                f"{times[PAIRS[name]].wall / own.wall:.1f}" if name in PAIRS else "",
            ]
            for name, own in times.items()
        ]
        columns = [
            "ns an\nelement",
            "CPU ns,\nall cores",
            "times\nx * 1.25",
            "its peer\ntakes, times",
        ]
        report.table([title, *columns], rows)
    for ours, peer in PAIRS.items():
        wall, cpu = (a / b for a, b in zip(forward[peer], forward[ours], strict=True))
        report.takeaway(
            f"{peer} takes {wall:.1f} times {ours}'s time, {cpu:.1f} times its CPU time."
        )
    report.save(picture(forward, both), folder, "4_speed.png")


def picture(forward: dict[str, Times], both: dict[str, Times]) -> Figure:
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(forward))
    colours = ["#009E73" if name.startswith("flaxnoise") else "#999999" for name in forward]
    for shift, times, alpha in ((-0.2, forward, 1.0), (0.2, both, 0.5)):
        values = [own.wall for own in times.values()]
        bars = axes.barh(places + shift, values, 0.38, color=colours, alpha=alpha)
        axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set_yticks(places, list(forward))
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.set(xlabel="nanoseconds an element (median of wall time; lower is better)")
    axes.set_title("Dark: forward. Light: forward and backward. Green: flaxnoise.")
    return figure
