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
    report.console.print(f"flaxnoise runs here as {kernel(CONTENDERS['flaxnoise.dropout'])}")
    for name, function in CONTENDERS.items():
        check(name, function)
    # A program's own time is disturbed least by others; on an accelerator it says little.
    basis = "cpu" if device.platform == "cpu" else "wall"
    report.console.print(
        f"All contenders give right numbers (statistics to 6 σ). Ratios are of {basis} time."
    )

    gradients = {name: with_gradient(function) for name, function in CONTENDERS.items()}
    passes = {
        "forward": measure(CONTENDERS, SIZE, ROUNDS),
        "forward and backward": measure(gradients, SIZE, ROUNDS),
    }
    costs = {
        title: {name: getattr(own, basis) for name, own in times.items()}
        for title, times in passes.items()
    }
    for title, times in passes.items():
        cost = costs[title]
        rows = [
            [
                name,
                f"{own.wall:.2f}",
                f"{own.cpu:.2f}",
                f"{cost[name] / cost[LIMIT]:.1f}",
                f"{cost[PAIRS[name]] / cost[name]:.1f}" if name in PAIRS else "",
            ]
            for name, own in times.items()
        ]
        kinds = ("wall ns an\nelement", "cpu ns,\nall cores")
        report.table([title, *kinds, f"times\n{LIMIT}", "its peer\ntakes × it"], rows)
    for ours, peer in PAIRS.items():
        forward, both = (cost[peer] / cost[ours] for cost in costs.values())
        report.takeaway(
            f"{peer} takes {forward:.1f} times the {basis} time of {ours}; "
            f"{both:.1f} times with the backward pass."
        )
    report.save(picture(costs, basis), folder, "4_speed.png")


def picture(costs: dict[str, dict[str, float]], basis: str) -> Figure:
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    axes = figure.subplots()
    names = list(CONTENDERS)
    places = np.arange(len(names))
    colours = ["#009E73" if name.startswith("flaxnoise") else "#999999" for name in names]
    for shift, alpha, cost in zip((-0.2, 0.2), (1.0, 0.5), costs.values(), strict=True):
        values = [cost[name] for name in names]
        bars = axes.barh(places + shift, values, 0.38, color=colours, alpha=alpha)
        axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.set(xlabel=f"nanoseconds an element (median {basis} time; lower is better)")
    axes.set_title("Dark: forward. Light: forward and backward. Green: flaxnoise.")
    return figure
