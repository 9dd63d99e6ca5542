"""Arrays of keys: indexing, reshaping, moving, donation, conversion, pickling, checks for reuse."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.errors import KeyReuseError
from jax.sharding import AxisType

from flaxnoise import random
from flaxnoise.random import keys as keys_module
from meshes import bits_equal, mesh, put

KEY = random.key(23)
KEYS = jax.random.split(KEY, 6)


def data(keys: jax.Array) -> np.ndarray:
    return np.asarray(jax.random.key_data(keys))


WORDS = data(KEYS)


def test_a_key_is_a_typed_one_of_128_bits():
    assert jnp.issubdtype(KEY.dtype, jax.dtypes.prng_key)
    assert KEY.shape == ()
    assert data(KEY).dtype == np.uint32
    assert data(KEY).shape == (4,)
    assert str(KEY.dtype) == "key<flaxnoise>"


def test_key_arrays_are_indexed_reshaped_and_joined():
    same = np.testing.assert_array_equal
    same(data(KEYS[2]), WORDS[2])
    same(data(KEYS[::-2]), WORDS[::-2])
    same(data(KEYS[jnp.array([4, 0])]), WORDS[[4, 0]])
    same(data(KEYS.reshape(2, 3).T), WORDS.reshape(2, 3, 4).transpose(1, 0, 2))
    same(data(jnp.concatenate([KEYS, KEYS[:1]])), np.concatenate([WORDS, WORDS[:1]]))
    same(data(jnp.stack([KEY, KEYS[0]])), np.stack([data(KEY), WORDS[0]]))
    same(data(jnp.where(jnp.arange(6) < 3, KEYS, KEY)[4]), data(KEY))
    same(data(KEYS.at[1].set(KEY))[1], data(KEY))
    same(data(jnp.broadcast_to(KEY, (2, 2)))[1, 1], data(KEY))
    assert [k.shape for k in KEYS] == [()] * 6


def test_words_and_back_with_the_implementation_by_object_name_and_dtype():
    for how in ({"impl": random.IMPL}, {"impl": "flaxnoise"}, {"dtype": KEY.dtype}):
        again = jax.random.wrap_key_data(WORDS, **how)
        assert again.dtype == KEYS.dtype
        assert bits_equal(jax.random.bits(again[3], (7,)), jax.random.bits(KEYS[3], (7,)))
        assert bits_equal(jax.random.key_data(jax.random.key(23, **how)), jax.random.key_data(KEY))
    assert jax.random.key_dtype(random.IMPL) == KEY.dtype
    assert jax.random.key_impl(KEY) == "flaxnoise"
    raw = jax.random.PRNGKey(23, impl=random.IMPL)
    assert raw.tolist() == data(KEY).tolist()


def test_clones_copies_and_pickles_draw_the_same():
    for again in (
        jax.random.clone(KEYS),
        copy.deepcopy(KEYS),
        pickle.loads(pickle.dumps(KEYS)),
        jax.tree.map(lambda key: key, KEYS),
    ):
        assert again.dtype == KEYS.dtype
        np.testing.assert_array_equal(data(again), WORDS)


def test_donated_and_sharded_keys():
    devices = mesh(AxisType.Auto)
    sharded = put(jax.random.split(KEY, 8), devices, ("a", "b"))
    step = jax.jit(jax.vmap(lambda key: jax.random.fold_in(key, 1)), donate_argnums=0)
    expected = data(jax.vmap(lambda key: jax.random.fold_in(key, 1))(jax.random.split(KEY, 8)))
    stepped = step(sharded)
    assert sharded.is_deleted()
    np.testing.assert_array_equal(data(stepped), expected)
    # Each device has its own key.
    shard = stepped.addressable_shards[5]
    np.testing.assert_array_equal(data(shard.data), expected[5:6])


def test_keys_are_carried_by_loops():
    def body(carry):
        key, total = carry
        key, own = jax.random.split(key)
        return key, total + jax.random.uniform(own)

    key, total = jax.lax.fori_loop(0, 3, lambda _, carry: body(carry), (KEY, 0.0))
    carry = (KEY, 0.0)
    for _ in range(3):
        carry = body(carry)
    np.testing.assert_array_equal(data(key), data(carry[0]))
    assert total == carry[1]


def test_a_key_that_is_used_twice_is_seen():
    def twice(key: jax.Array) -> jax.Array:
        return jax.random.normal(key) + jax.random.normal(key)

    def once(key: jax.Array) -> jax.Array:
        own, other = jax.random.split(key)
        return jax.random.normal(own) + jax.random.normal(jax.random.fold_in(other, 1))

    with jax.debug_key_reuse(True):
        jax.jit(once)(random.key(0))
        with pytest.raises(KeyReuseError):
            jax.jit(twice)(random.key(0))


def test_jax_has_no_public_way_to_make_them_the_default():
    with pytest.raises(ValueError, match="new enum value must be in"):
        jax.config.update("jax_default_prng_impl", "flaxnoise")


def test_without_jaxs_private_table_the_implementation_serves_by_object(
    monkeypatch: pytest.MonkeyPatch,
):
    """As in a version of jax without that private table."""
    prng = pytest.importorskip("jax._src.random.prng", reason="this jax has no such table")
    without = {name: own for name, own in prng.prngs.items() if name != "flaxnoise"}
    monkeypatch.setattr(prng, "prngs", without)
    with pytest.raises(ValueError, match="unrecognized PRNG implementation"):
        jax.random.key(0, impl="flaxnoise")
    assert jax.random.key_impl(KEY) == random.IMPL
    again = jax.random.wrap_key_data(data(KEY), impl=jax.random.key_impl(KEY))
    assert bits_equal(jax.random.normal(again, (7,)), jax.random.normal(KEY, (7,)))
    np.testing.assert_array_equal(data(random.key(23)), data(KEY))
    keys_module.register()
    assert without["flaxnoise"].name == "flaxnoise"
    monkeypatch.delattr(prng, "prngs")
    keys_module.register()
