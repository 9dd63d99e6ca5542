"""Derivations of keys never collide, not even in all but the byte that domains change."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from every import every
from flaxnoise import random

KEY = random.key(5)
COUNT = 1 << 20
TREE = 1 << 10
DOMAIN_BYTE = np.uint32(0xFF000000)


@jax.jit
def _families(key: jax.Array) -> list[jax.Array]:
    """Returns 2^20 keys each of seeds, children, fold-ins, and four kinds of grandchildren."""
    numbers, branches = jnp.arange(COUNT), jnp.arange(TREE)

    def by_fold_in(key: jax.Array) -> jax.Array:
        return jax.vmap(lambda n: jax.random.fold_in(key, n))(branches)

    def by_split(key: jax.Array) -> jax.Array:
        return jax.random.split(key, TREE)

    ways = (by_split, by_fold_in)
    keys = [
        jax.vmap(random.key)(numbers),
        jax.random.split(key, COUNT),
        jax.vmap(lambda n: jax.random.fold_in(key, n))(numbers),
        *(jax.vmap(second)(first(key)) for first, second in itertools.product(ways, ways)),
    ]
    return [jax.random.key_data(k).reshape(-1, 4) for k in keys]


@pytest.fixture(scope="module")
def families() -> list[NDArray[np.uint32]]:
    return [np.asarray(words) for words in _families(KEY)]


def repeated(keys: NDArray[np.uint32]) -> int:
    """Counts keys that agree with another in all but the byte in which domains differ.

    Compares 64-bit hashes: keys with different hashes are different.
    """
    rows = np.ascontiguousarray(keys & ~np.array([0, 0, DOMAIN_BYTE, 0], np.uint32)).view(np.uint64)
    mixed = np.sort(rows[:, 0] * np.uint64(0x9E3779B97F4A7C15) + rows[:, 1])
    return int(np.sum(mixed[1:] == mixed[:-1]))


def test_none_of_seven_million_derivations_repeats_another(families: list[NDArray[np.uint32]]):
    assert repeated(np.concatenate(families)) == 0


@every("difference", [0, DOMAIN_BYTE], ids=["equal", "in the domain's byte"])
def test_children_that_two_derivations_share_are_seen(
    families: list[NDArray[np.uint32]], difference: np.uint32
):
    shared = families[1] ^ np.array([0, 0, difference, 0], np.uint32)
    assert repeated(np.concatenate([*families, shared])) == COUNT
