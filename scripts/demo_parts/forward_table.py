"""Part 1: each layer on ten numbers and on a photograph; layer and function agree."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_sample_image

import flaxnoise
import flaxnoise.linen
import flaxnoise.nnx
from demo_parts import report


class Case(NamedTuple):
    layer: Callable[[Any], Any]  # takes flaxnoise.linen or flaxnoise.nnx, which share names
    function: Callable[[jax.Array, jax.Array], jax.Array]


CASES = {
    "Dropout(0.4)": Case(
        lambda api: api.Dropout(0.4),
        lambda key, x: flaxnoise.dropout(key, x, 0.4),
    ),
    "GaussianDropout(0.05)": Case(
        lambda api: api.GaussianDropout(0.05),
        lambda key, x: flaxnoise.gaussian_dropout(key, x, 0.05),
    ),
    "GaussianNoise(0.3)": Case(
        lambda api: api.GaussianNoise(0.3),
        lambda key, x: flaxnoise.gaussian_noise(key, x, 0.3),
    ),
    "MaskedGaussianNoise(0.2, 0.1)": Case(
        lambda api: api.MaskedGaussianNoise(0.2, 0.1),
        lambda key, x: flaxnoise.masked_gaussian_noise(key, x, 0.2, 0.1),
    ),
    "Dropout(1.0)": Case(
        lambda api: api.Dropout(1.0),
        lambda key, x: flaxnoise.dropout(key, x, 1.0),
    ),
    "StopGradient()": Case(
        lambda api: api.StopGradient(),
        lambda key, x: flaxnoise.stop_gradient(x),
    ),
}


class Outputs(NamedTuple):
    function: jax.Array
    linen: jax.Array
    nnx: jax.Array


def outputs(case: Case, key: jax.Array, x: jax.Array) -> Outputs:
    """Applies the function and both layers to the same key and x."""
    linen = case.layer(flaxnoise.linen)
    nnx = case.layer(flaxnoise.nnx)
    has_noise = not isinstance(nnx, flaxnoise.nnx.StopGradient)
    given = {"deterministic": False, "key": key} if has_noise else {}
    return Outputs(
        function=case.function(key, x),
        linen=linen.apply({}, x, **given),
        nnx=nnx(x, **given),
    )


def show(folder: Path) -> None:
    report.heading(
        1,
        "What each layer does",
        "The numbers 0 … 9, as a 5×2 array, through each layer under one key.",
    )
    x = jnp.arange(10.0).reshape(5, 2)
    key = jax.random.key(0)
    found = {name: outputs(case, key, x) for name, case in CASES.items()}
    rows = [
        [
            f"\\[{i // 2}, {i % 2}]",
            f"{i}",
            *(_number(y.function.ravel()[i]) for y in found.values()),
        ]
        for i in range(10)
    ]
    for api in ("linen", "nnx"):
        same = [bool(jnp.array_equal(getattr(y, api), y.function)) for y in found.values()]
        rows.append([f"{api} ==\nfunction", "", *map(report.truth, same)])
    report.table(["x\\[i, j]", "x", *map(report.stacked, found)], rows)
    report.takeaway("A layer is its function with a key from Flax: same key, same result.")
    report.save(picture(key), folder, "1_layers.png")


def picture(key: jax.Array) -> Figure:
    """Draws a detail of a photograph after each layer."""
    photograph = jnp.asarray(load_sample_image("china.jpg")[20:200, 80:350], jnp.float32) / 255
    panels = {"original": photograph}
    panels |= {name: case.function(key, photograph) for name, case in CASES.items()}
    panels["Dropout(0.4, broadcast_dims=-1)"] = flaxnoise.dropout(
        key, photograph, 0.4, broadcast_dims=-1
    )
    figure = Figure(figsize=(13, 5.2), layout="constrained")
    for axes, (name, image) in zip(figure.subplots(2, 4).flat, panels.items(), strict=True):
        axes.imshow(np.clip(image, 0, 1))
        axes.set_title("StopGradient(): the original" if name == "StopGradient()" else name)
        axes.set_axis_off()
    figure.suptitle("One photograph (180 × 270 pixels) through each layer, under one key")
    return figure


def _number(value: jax.Array) -> str:
    return f"[dim]{value:.2f}[/]" if value == 0 else f"{value:.2f}"
