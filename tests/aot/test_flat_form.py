"""The forms for GPUs and TPUs compute the same as the xla form for CPUs, here on the CPU."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from every import every
from flaxnoise.backends.xla import flat as xla_flat
from flaxnoise.backends.xla.backend import Xla
from forms import form as form_of

KINDS = ("bits", "keep", "normal", "masked_normal", "uniform", "unit_uniform", "laplace")
SHAPES = ((), (0, 3), (7,), (6, 10), (33, 129), (3, 5, 1028))


def drawn(operands: dict, *, flat: bool, dtype: jax.typing.DTypeLike, **params: object):
    return drawn_for("cuda" if flat else "cpu", operands, dtype=dtype, **params)


def drawn_for(platform: str, operands: dict, **params: object):
    form = form_of(Xla(), platform=platform, **params)
    return np.asarray(jax.jit(form)(operands))


def operands_of(kind: str, shape: tuple[int, ...], keys: int = 1) -> dict[str, jax.Array]:
    batch, ones = (keys,), (1,) * len(shape)
    words = jnp.arange(keys * 4, dtype=jnp.uint32).reshape(keys, 4) * jnp.uint32(0x9E3779B9)
    operands = {"key": words}
    if kind in ("keep", "masked_normal"):
        operands["threshold"] = jnp.full((1, *ones), 0.3 * 2**31, jnp.uint32)
    if kind != "bits":
        x = np.random.default_rng(1).normal(size=(*batch, *shape))
        operands |= {"x": jnp.asarray(x, jnp.float32)}
        operands |= {"b": jnp.full((1, *ones), 0.7), "d": jnp.full((1, *ones), 0.3)}
    return operands


@every("kind", KINDS)
def test_flat_noise_is_the_same_for_every_shape(kind: str):
    dtype = jnp.uint32 if kind == "bits" else jnp.float32
    for shape, keys in itertools.product(SHAPES, (1, 3)):
        operands = operands_of(kind, shape, keys)
        params = {"kind": kind, "shape": shape, "global_shape": None, "dtype": dtype}
        np.testing.assert_array_equal(
            drawn(operands, flat=True, **params), drawn(operands, flat=False, **params)
        )


@every("kind", KINDS)
def test_the_form_for_tpus_draws_the_same(kind: str):
    params = {"kind": kind, "shape": (33, 129), "global_shape": None}
    params["dtype"] = jnp.uint32 if kind == "bits" else jnp.float32
    operands = operands_of(kind, (33, 129), 2)
    expected = drawn_for("cpu", operands, **params)
    np.testing.assert_array_equal(drawn_for("tpu", operands, **params), expected)


@every("kind", KINDS)
@every("shape", [(3, 7, 53), (1023,), (5, 206)], ids=str)
def test_whole_blocks_and_the_remainder_are_the_whole(
    kind: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(xla_flat, "SPLIT_FROM", 1000)
    dtype = jnp.uint32 if kind == "bits" else jnp.bfloat16
    operands = operands_of(kind, shape)
    if kind != "bits":
        operands["d"] = jnp.linspace(-1, 1, math.prod(shape)).reshape(1, *shape)
    params = {"kind": kind, "shape": shape, "global_shape": None, "dtype": dtype}
    form = form_of(Xla(), platform="cuda", **params)
    assert "optimization_barrier" in jax.jit(form).lower(operands).as_text()
    np.testing.assert_array_equal(
        drawn(operands, flat=True, **params), drawn(operands, flat=False, **params)
    )


def test_examples_of_a_batch_whose_index_needs_64_bits_keep_their_own():
    """The index in the batch needs more than 32 bits; only lowered, as running needs 16 GiB."""
    examples = 1 << 22
    operands = {"key": jax.ShapeDtypeStruct((examples, 4), jnp.uint32)}
    params = {"kind": "bits", "global_shape": None, "dtype": jnp.uint32}
    fits, exceeds = (
        jax.make_jaxpr(form_of(Xla(), platform="cuda", **params, shape=(size,)))(operands)
        for size in (1024, 1028)
    )
    over_examples = f"shape=({examples},)"
    assert f"shape=({examples << 10},)" in str(fits)
    assert over_examples in str(fits)
    assert over_examples not in str(exceeds)


@every(
    ("whole", "parts"),
    [
        ((8, 12), (4, 1)),
        ((8, 12), (1, 3)),
        ((4, 6), (2, 1)),
        ((6, 7), (3, 1)),
        ((4, 4, 8), (2, 2, 1)),
    ],
)
@every("flat", [False, True])
def test_shards_have_the_noise_of_the_whole(whole: tuple, parts: tuple, flat: bool):
    key = {"key": jnp.arange(4, dtype=jnp.uint32)}
    params = {"kind": "bits", "dtype": jnp.uint32, "flat": flat}
    expected = drawn(key, shape=whole, global_shape=None, **params)
    parts = (*parts, *(1,) * (len(whole) - len(parts)))
    local = tuple(size // part for size, part in zip(whole, parts, strict=True))
    for place in np.ndindex(parts):
        first = [position * size for position, size in zip(place, local, strict=True)]
        start = jnp.asarray([np.ravel_multi_index(first, whole), 0], jnp.uint32)
        got = drawn({**key, "start": start}, shape=local, global_shape=whole, **params)
        box = tuple(slice(at, at + size) for at, size in zip(first, local, strict=True))
        np.testing.assert_array_equal(got, expected[box])


@every("kind", ["bits", "masked_normal"])
def test_a_box_of_fours_may_begin_at_no_multiple_of_four(kind: str):
    """Rows of 6 elements; the box is two of four rows, from the second on."""
    ones = {} if kind == "bits" else {"threshold": jnp.full((1, 1), 1 << 30, jnp.uint32)}
    dtype = jnp.uint32 if kind == "bits" else jnp.float32
    given = {"key": jnp.arange(4, dtype=jnp.uint32), **ones}
    params = {"kind": kind, "dtype": dtype, "flat": True}
    whole = drawn(given, shape=(4, 6), global_shape=None, **params)
    given["start"] = jnp.asarray([6, 0], jnp.uint32)
    box = drawn(given, shape=(2, 6), global_shape=(4, 6), **params)
    np.testing.assert_array_equal(box, whole[1:3])
