"""A jitted gradient holds no mask, according to the compiler's memory analysis."""

import math
import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
import pytest

from cases import KEY, Case, array, every_case, few_cases

LAYERS, BATCH, WIDTH = 4, 64, 128
X, KERNELS = array(BATCH, WIDTH), [array(WIDTH, WIDTH, seed=i) / WIDTH for i in range(LAYERS)]
Layer = Callable[[jax.Array, jax.Array], jax.Array]


def compiled_gradient(layer: Layer) -> jax.stages.Compiled:
    """Compiles the gradient of four blocks (Dense, gelu, layer), and a head that needs the last."""

    def loss(kernels: list[jax.Array], x: jax.Array, keys: jax.Array) -> jax.Array:
        for kernel, key in zip(kernels, keys, strict=True):
            x = layer(key, jax.nn.gelu(x @ kernel))
        return ((x @ kernels[0]) ** 2).sum()

    return jax.jit(jax.grad(loss)).lower(KERNELS, X, jax.random.split(KEY, LAYERS)).compile()


def masked_by_hand(key: jax.Array, x: jax.Array) -> jax.Array:
    """Dropout in plain jax, whose backward pass keeps the mask."""
    return jnp.where(jax.random.bernoulli(key, 0.7, x.shape), x / 0.7, 0)


def added_bytes(compiled: jax.stages.Compiled, plain: jax.stages.Compiled) -> float:
    """Returns the temporary bytes per element and layer, beyond those of the program without."""
    sizes = [each.memory_analysis().temp_size_in_bytes for each in (compiled, plain)]
    return (sizes[0] - sizes[1]) / (LAYERS * X.size)


def integer_buffers(compiled: jax.stages.Compiled, size: int) -> list[str]:
    """Returns the instructions whose result has at least ``size`` integers or bools.

    Those inside fusions are left out, since their results live in registers.
    """
    text = compiled.as_text()
    fused = set(re.findall(r"\bfusion\(.*?calls=%?([\w.-]+)", text))
    found, current = [], ""
    for line in text.splitlines():
        if header := re.match(r"(?:ENTRY )?%?([\w.-]+) .*\{$", line):
            current = header[1]
        elif current not in fused and (result := re.match(r" +(?:ROOT )?%?\S+ = (.*)", line)):
            shapes = re.findall(r"\b(?:pred|[us]\d+)\[([\d,]+)\]", result[1].split("(%")[0])
            if any(math.prod(map(int, shape.split(","))) >= size for shape in shapes):
                found.append(line.strip())
    return found


@pytest.fixture(scope="module")
def plain() -> jax.stages.Compiled:
    return compiled_gradient(lambda key, x: x)


@every_case
def test_a_jitted_gradient_needs_no_memory_for_noise(case: Case, plain: jax.stages.Compiled):
    compiled = compiled_gradient(case)
    assert added_bytes(compiled, plain) <= 0.1
    assert not integer_buffers(compiled, X.size)


def test_the_accounts_would_show_a_mask(plain: jax.stages.Compiled):
    compiled = compiled_gradient(masked_by_hand)
    assert added_bytes(compiled, plain) >= 1
    assert integer_buffers(compiled, X.size)


def compiled_scan(layer: Layer) -> jax.stages.Compiled:
    """Compiles the gradient of a scan over layers, whose residuals are stacked."""

    def loss(kernels: jax.Array, x: jax.Array, keys: jax.Array) -> jax.Array:
        def step(x: jax.Array, slices: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            key, kernel = slices
            return layer(key, jnp.tanh(x @ kernel)), None

        return (jax.lax.scan(step, x, (keys, kernels))[0] ** 2).sum()

    keys = jax.random.split(KEY, LAYERS)
    return jax.jit(jax.grad(loss)).lower(jnp.stack(KERNELS), X, keys).compile()


@few_cases
def test_a_gradient_through_a_scan_stacks_no_mask(case: Case):
    """One array of X.size is allowed: XLA hoists what only depends on the index out of the loop."""
    compiled = compiled_scan(case)
    assert "while(" in compiled.as_text()
    assert not integer_buffers(compiled, LAYERS * X.size)


def test_a_stacked_mask_would_be_seen():
    assert integer_buffers(compiled_scan(masked_by_hand), LAYERS * X.size)
