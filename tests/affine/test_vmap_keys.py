"""vmap over keys of every implementation, typed and raw: each example gets its own key's noise.

jax's own rbg keys draw under vmap from the first key of the batch only.
"""

import re

import jax
import pytest

from cases import Case, array, few_cases
from closeness import assert_same_bits
from flaxnoise import random

X = array(5, 33)
IMPLEMENTATIONS = [
    "threefry2x32",
    "rbg",
    "unsafe_rbg",
    "philox2x32",
    "philox4x32",
    "threefry4x32",
]


@pytest.fixture(params=IMPLEMENTATIONS)
def keys(request: pytest.FixtureRequest) -> jax.Array:
    return jax.random.split(jax.random.key(3, impl=request.param), 3)


@few_cases
def test_over_keys_equals_the_loop(case: Case, keys: jax.Array):
    batched = jax.vmap(lambda key: case(key, X))
    typed, raw = batched(keys), batched(jax.random.key_data(keys))
    assert_same_bits(raw, typed)
    for i in range(len(keys)):
        case.assert_equal(typed[i], case(keys[i], X), X)


def test_words_over_keys_equal_the_loop_bit_for_bit(keys: jax.Array):
    def draw(key: jax.Array) -> list[jax.Array]:
        return [
            random.bits(key, X.shape),
            random.uniform(key, X.shape),
            random.keep_mask(key, X.shape, 0.3),
        ]

    for batched, *alone in zip(jax.vmap(draw)(keys), *map(draw, keys), strict=True):
        for example, expected in zip(batched, alone, strict=True):
            assert_same_bits(example, expected)
    words = jax.vmap(draw)(keys)[0]
    assert (words[0] != words[1]).any()
    assert (words[1] != words[2]).any()


def test_every_implementation_of_this_jax_is_here():
    """If this fails, jax has a new key implementation: add it above."""
    from_jax = {name for name in IMPLEMENTATIONS if jax.random.key(0, impl=name).size == 1}
    with pytest.raises(ValueError, match="unrecognized PRNG implementation") as error:
        jax.random.key(0, impl="?")
    named = set(re.findall(r'"(\w+)"', str(error.value))) - {"flaxnoise"}  # registered by us
    # Pallas registers its own, for use inside TPU kernels, when it is imported.
    assert {name for name in named if "pallas" not in name} == from_jax == set(IMPLEMENTATIONS)
