"""Every transform over several tiles in each dimension, against attention that holds its weights.

Tolerances: both are sums of at most 20 products of numbers below 16, in different order.
"""

import jax
import jax.numpy as jnp
import numpy as np

import flaxnoise
from attention_cases import KEY, normal
from every import every

Q, K, V = normal(2, 9, 4, 8), normal(2, 11, 2, 8, seed=1), normal(2, 11, 2, 6, seed=2)
BIAS = normal(4, 9, 11, seed=3)
ARRAYS = (Q, K, V, BIAS)
MOVED = tuple(normal(*x.shape, seed=i + 4) for i, x in enumerate(ARRAYS))
SUMS = 20 * 16 * 2.0**-24


def ours(q, k, v, bias, key=KEY, rate=0.3):
    return flaxnoise.dot_product_attention(
        key, q, k, v, rate, bias=bias, is_causal=True, block_sizes=(4, 8)
    )


def held(q, k, v, bias, key=KEY, rate=0.3):
    """Attention with materialised weights."""
    k, v = (jnp.repeat(x, 2, axis=-2) for x in (k, v))
    s = jnp.einsum("btnd,bsnd->bnts", q, k) * q.shape[-1] ** -0.5 + bias
    s = jnp.where(jnp.tril(jnp.ones(s.shape[-2:], bool)), s, -1e30)
    w = flaxnoise.attention_dropout(key, jax.nn.softmax(s), rate)
    return jnp.einsum("bnts,bsnd->btnd", w, v)


def loss(function):
    return lambda *x: (function(*x) ** 2).sum()


def both(program, *arguments):
    """Compares a program on our attention and on the reference."""
    a, b = (jax.jit(program(function))(*arguments) for function in (ours, held))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=SUMS, atol=SUMS), a, b)
    return a


def test_forward_mode():
    both(lambda f: lambda x, dx: jax.jvp(f, x, dx), ARRAYS, MOVED)


def test_forward_and_reverse_mode_agree():
    dy = normal(2, 9, 4, 6, seed=9)
    _, tangent = jax.jvp(ours, ARRAYS, MOVED)
    pulled = jax.vjp(ours, *ARRAYS)[1](dy)
    along = sum(float((own * dx).sum()) for own, dx in zip(pulled, MOVED, strict=True))
    # Both are sums of 432 products of dy and the same values.
    assert abs(float((tangent * dy).sum()) - along) <= 432 * SUMS


@every("order", ["forward_over_reverse", "reverse_over_reverse"])
def test_product_with_the_hessian(order: str):
    def product(function):
        gradient = jax.grad(loss(function), argnums=(0, 1, 2, 3))

        def forward(x, dx):
            return jax.jvp(gradient, x, dx)[1]

        def reverse(x, dx):
            def along(x):
                pairs = zip(gradient(*x), dx, strict=True)
                return sum((own * d).sum() for own, d in pairs)

            return jax.grad(along)(x)

        return forward if order == "forward_over_reverse" else reverse

    # The loss is a sum of squares, so that its second derivative is twice as many such sums.
    half = jax.tree.map(lambda x: x / 4, (ARRAYS, MOVED))
    both(product, *half)


def test_linearize_and_its_transpose():
    y, linear = jax.linearize(ours, *ARRAYS)
    np.testing.assert_allclose(linear(*MOVED), jax.jvp(ours, ARRAYS, MOVED)[1], atol=SUMS, rtol=0)
    dy = normal(*y.shape, seed=9)
    transposed = jax.linear_transpose(linear, *ARRAYS)(dy)
    for own, expected in zip(transposed, jax.vjp(ours, *ARRAYS)[1](dy), strict=True):
        np.testing.assert_allclose(own, expected, atol=SUMS, rtol=0)


KEYS = jax.random.split(KEY, 3)
RATES = jnp.asarray([0.0, 0.3, 1.0])
QS = normal(3, *Q.shape, seed=20)


@every(
    ("in_axes", "arguments"),
    [
        ((None, None, None, None, 0), (*ARRAYS, KEYS)),
        ((None, None, None, None, None, 0), (*ARRAYS, KEY, RATES)),
        ((0, None, None, None), (QS, K, V, BIAS)),
        ((None, 1, 2, None), (Q, K[:, None].repeat(3, 1), V[:, :, None].repeat(3, 2), BIAS)),
        ((0, None, None, None, 0, 0), (QS, K, V, BIAS, KEYS, RATES)),
        ((None, None, None, 3), (Q, K, V, jnp.stack([BIAS, -BIAS], 3))),
    ],
    ids=["keys", "rates", "query", "keys_and_values", "all", "bias"],
)
def test_vmap_is_the_loop(in_axes, arguments):
    in_axes += (None,) * (6 - len(in_axes))
    arguments += (KEY, jnp.float32(0.3))[len(arguments) - 4 :]

    def gradient(*x):
        return jax.value_and_grad(loss(ours), argnums=(0, 1, 2, 3))(*x)

    mapped = jax.jit(jax.vmap(gradient, in_axes))(*arguments)
    single = jax.jit(gradient)
    count = len(jax.tree.leaves(mapped)[0])
    for i in range(count):
        one = [
            x
            if axis is None
            else jax.lax.index_in_dim(x, i, axis, keepdims=False)
            if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
            else x[i]
            for x, axis in zip(arguments, in_axes, strict=True)
        ]
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=SUMS, atol=4 * SUMS),
            mapped,
            single(*one),
        )


def test_vmap_over_a_batch_of_keys_gives_each_example_its_own_mask():
    uniform = jnp.zeros((3, 1, 5, 1, 1)), jnp.zeros((3, 1, 7, 1, 1))
    values = jnp.broadcast_to(jnp.eye(7)[None, None, :, None], (3, 1, 7, 1, 7))
    y = jax.vmap(flaxnoise.dot_product_attention, (0, 0, 0, 0, None))(KEYS, *uniform, values, 0.5)
    for own, key in zip(y, KEYS, strict=True):
        mask = flaxnoise.random.keep_mask(key, (1, 1, 5, 7), 0.5)
        np.testing.assert_array_equal(own[0, :, 0] != 0, mask[0, 0])


def test_remat_scan_and_eager_calls():
    expected = jax.jit(jax.grad(loss(ours)))(*ARRAYS)
    policies = (None, jax.checkpoint_policies.dots_saveable)
    for policy in policies:
        remat = jax.grad(loss(jax.checkpoint(ours, policy=policy)))
        np.testing.assert_allclose(jax.jit(remat)(*ARRAYS), expected, rtol=SUMS, atol=SUMS)

    def layers(q, keys):
        def layer(q, key):
            return q + jnp.pad(ours(q, K, V, BIAS, key), ((0, 0),) * 3 + ((0, 2),)), None

        return (jax.lax.scan(layer, q, keys)[0] ** 2).sum()

    def unrolled(q, keys):
        for key in keys:
            q = q + jnp.pad(held(q, K, V, BIAS, key), ((0, 0),) * 3 + ((0, 2),))
        return (q**2).sum()

    scanned, loop = (jax.jit(jax.grad(f))(Q, KEYS) for f in (layers, unrolled))
    np.testing.assert_allclose(scanned, loop, rtol=0, atol=3 * SUMS * np.abs(loop).max())
    with jax.disable_jit():
        y = flaxnoise.dot_product_attention(KEY, Q[:1, :2], K[:1, :3], V[:1, :3], 0.3)
    np.testing.assert_allclose(
        y, flaxnoise.dot_product_attention(KEY, Q[:1, :2], K[:1, :3], V[:1, :3], 0.3), atol=SUMS
    )


def test_unbatched_arrays_are_a_batch_of_one():
    y, lse = flaxnoise.dot_product_attention(KEY, Q[0], K[0], V[0], 0.3, return_residual=True)
    expected = flaxnoise.dot_product_attention(KEY, Q[:1], K[:1], V[:1], 0.3, return_residual=True)
    np.testing.assert_array_equal(y, expected[0][0])
    np.testing.assert_array_equal(lse, expected[1][0])


def test_in_64_bits():
    with jax.enable_x64(True):
        wide = [x.astype(jnp.float64) for x in ARRAYS]
        a, b = (jax.jit(jax.grad(loss(f), (0, 1, 2, 3)))(*wide) for f in (ours, held))
        # Hundreds of roundings of 2^-53; one in float32 would be 6e-8.
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-13), a, b)
        assert a[0].dtype == jnp.float64


@every("platforms", [("cpu",), ("cpu", "cuda", "tpu")], ids=["cpu", "several"])
def test_export_with_a_symbolic_batch(platforms):
    q, k, v = Q, jnp.repeat(K, 2, 2), jnp.repeat(V, 2, 2)
    (batch,) = jax.export.symbolic_shape("batch")
    words = jax.random.key_data(KEY)

    def function(words, q, k, v):
        def y(q):
            return flaxnoise.dot_product_attention(words, q, k, v, 0.3, is_causal=True)

        return jax.value_and_grad(lambda q: y(q).sum())(q)

    shapes = [jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype) for x in (q, k, v)]
    exported = jax.export.export(jax.jit(function), platforms=platforms)(words, *shapes)
    result = jax.export.deserialize(exported.serialize()).call(words, q, k, v)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=SUMS, atol=SUMS),
        result,
        jax.jit(function)(words, q, k, v),
    )
