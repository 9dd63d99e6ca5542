"""No array of queries × keys is materialised, and fully masked tiles are not computed."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np

import flaxnoise
from attention_cases import KEY, normal
from every import every

LENGTH = 8192
Q = jax.ShapeDtypeStruct((1, LENGTH, 2, 16), jnp.float32)
LENGTHS = jnp.asarray([LENGTH - 5])

OPTIONS = {
    "plain": {},
    "causal": {"is_causal": True},
    "window_segments_lengths_cap_shared": {
        "local_window_size": (100, 0),
        "segment_ids": jnp.arange(LENGTH)[None] // 1000,
        "query_seq_lengths": LENGTHS,
        "key_value_seq_lengths": LENGTHS,
        "logits_soft_cap": 3.0,
        "broadcast_dropout": True,
    },
    "bias_and_mask_of_keys": {
        "bias": jnp.zeros((1, 2, 1, LENGTH)),
        "mask": jnp.ones((1, 1, 1, LENGTH), bool),
    },
}


def largest(compiled: jax.stages.Compiled) -> int:
    """Returns the number of elements of the largest array in a program."""
    shapes = re.findall(r"\b(?:pred|bf16|[fsu]\d+)\[([\d,]+)\]", compiled.as_text())
    return max(math.prod(map(int, shape.split(","))) for shape in shapes)


def compiled(function, *arguments) -> jax.stages.Compiled:
    return jax.jit(function).lower(*arguments).compile()


def gradient(attention):
    return lambda q, k, v: jax.value_and_grad(
        lambda *x: (attention(*x) ** 2).sum(), argnums=(0, 1, 2)
    )(q, k, v)


@every("rate", [0.0, 0.3])
@every("name", OPTIONS)
def test_no_array_of_queries_by_keys(name: str, rate: float):
    def attention(q, k, v):
        return flaxnoise.dot_product_attention(KEY, q, k, v, rate, **OPTIONS[name])

    program = compiled(gradient(attention), Q, Q, Q)
    assert largest(program) <= LENGTH**2 / 32
    # A few copies of a tile and of the arrays, far below the 256 MiB of one array of weights.
    assert program.memory_analysis().temp_size_in_bytes < 48 * 2**20


def test_the_measure_sees_weights_that_are_held():
    program = compiled(gradient(jax.nn.dot_product_attention), Q, Q, Q)
    assert largest(program) >= LENGTH**2


@every("platform", ["cpu", "cuda", "tpu"])
def test_jax_chooses_to_hold_the_weights_where_ours_at_rate_0_does_not(platform: str):
    """Otherwise rate 0 should be handed to jax.nn: today it uses cuDNN on request only."""
    q = jax.ShapeDtypeStruct((1, LENGTH, 2, 64), jnp.bfloat16)
    weights = f"x{LENGTH}x{LENGTH}x"

    def lowered(function) -> str:
        return jax.jit(function).trace(q).lower(lowering_platforms=(platform,)).as_text()

    theirs = lowered(lambda q: jax.nn.dot_product_attention(q, q, q))
    assert weights in theirs
    assert "fmha" not in theirs
    assert weights not in lowered(lambda q: flaxnoise.dot_product_attention(None, q, q, q, 0.0))


@every("rate", [0.0, 0.3])
def test_a_hessian_times_a_vector_without_weights(rate: float):
    def gradient(q):
        y = lambda q: flaxnoise.dot_product_attention(KEY, q, q, q, rate)  # noqa: E731
        return jax.grad(lambda q: (y(q) ** 2).sum())(q)

    program = compiled(lambda q, dq: jax.jvp(gradient, (q,), (dq,))[1], Q, Q)
    assert largest(program) <= LENGTH**2 / 32


def test_what_a_gradient_saves():
    """The arguments, the result and one number per row, for tiles of any size."""

    def attention(q, k, v):
        return flaxnoise.dot_product_attention(KEY, q, k, v, 0.3, block_sizes=(4, 8))

    q, k, v = normal(1, 16, 2, 8), normal(1, 24, 2, 8), normal(1, 24, 2, 8)
    pull = jax.vjp(attention, q, k, v)[1]
    saved = [x for x in jax.tree.leaves(pull) if isinstance(x, jax.Array) and x.size > 16]
    assert sum(x.size for x in saved) <= q.size + k.size + v.size + q.size + 2 * 16 * 2
    assert max(x.size for x in saved) <= k.size


@every(
    ("options", "rows", "unseen"),
    [
        ({"is_causal": True}, slice(0, 16), slice(16, 64)),
        ({"is_causal": True}, slice(32, 48), slice(48, 64)),
        ({"local_window_size": (5, 5)}, slice(0, 16), slice(32, 64)),
        ({"local_window_size": (5, 5)}, slice(48, 64), slice(0, 32)),
        ({"local_window_size": (0, 64)}, slice(32, 48), slice(0, 32)),
        ({"is_causal": True, "local_window_size": 16}, slice(48, 64), slice(0, 32)),
    ],
    ids=str,
)
def test_tiles_that_nobody_sees_are_not_computed(options, rows, unseen):
    """NaN there would reach the results as 0·NaN, as it does with materialised weights."""
    x = normal(1, 64, 2, 8)
    hidden = x.at[:, unseen].set(jnp.nan)

    def attention(q, k, v):
        y = flaxnoise.dot_product_attention(KEY, q, k, v, 0.3, block_sizes=(16, 16), **options)
        return y[:, rows]

    def result(k, v):
        y, pull = jax.vjp(lambda q: attention(q, k, v), x)
        return y, pull(jnp.ones_like(y))[0][:, rows]

    for own, expected in zip(jax.jit(result)(hidden, hidden), jax.jit(result)(x, x), strict=True):
        np.testing.assert_array_equal(own, expected)
    assert np.isnan(jax.nn.dot_product_attention(x, hidden, hidden, **options)[:, rows]).all()


def test_memory_grows_with_the_length():
    def attention(q, k, v):
        return flaxnoise.dot_product_attention(KEY, q, k, v, 0.3)

    sizes = []
    for length in (2048, 8192):
        q = jax.ShapeDtypeStruct((1, length, 4, 64), jnp.float32)
        analysis = compiled(gradient(attention), q, q, q).memory_analysis()
        sizes.append(analysis.temp_size_in_bytes)
    assert sizes[1] <= 4.4 * sizes[0]


def test_blocks_follow_the_platform():
    """On an accelerator tiles are large, as each costs launches; on CPU they fit the caches."""

    def attention(q):
        return flaxnoise.dot_product_attention(KEY, q, q, q, 0.3)

    q = jax.ShapeDtypeStruct((2, 4096, 16, 64), jnp.bfloat16)
    for platform, tile in (("cpu", "64x512"), ("cuda", "1024x1024"), ("tpu", "1024x1024")):
        text = jax.jit(attention).trace(q).lower(lowering_platforms=(platform,)).as_text()
        found = set(re.findall(r"tensor<2x16x1x(\d+x\d+)xf32>", text))
        assert tile in found
        assert (f"{tile}" == "64x512") == ("1024x1024" not in found)
