"""Keys, their children and their bits equal the pinned vectors and the NumPy reference."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import key_reference
import reference
from every import every
from flaxnoise import random

VECTORS = Path(__file__).parents[1] / "vectors"
PINNED = json.loads((VECTORS / "keys.json").read_text())
every_seed = every("pinned", PINNED, ids=lambda pinned: str(pinned["seed"]))
KEY = random.key(31)
WORDS = reference.key_words(KEY)


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def data(keys: jax.Array) -> np.ndarray:
    return np.asarray(jax.random.key_data(keys))


def test_the_reference_still_gives_the_pinned_keys():
    spec = importlib.util.spec_from_file_location("make_keys", VECTORS / "make_keys.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    assert (VECTORS / "keys.json").read_text() == make.text()


@every_seed
def test_keys_and_their_children_are_the_pinned_ones(pinned: dict[str, Any]):
    key = random.key(pinned["seed"])
    np.testing.assert_array_equal(data(key), words(pinned["key"]))
    split = data(jax.random.split(key, 2**20 + 1))
    for number, child in pinned["split"].items():
        np.testing.assert_array_equal(split[int(number)], words(child))
    for number, child in pinned["fold_in"].items():
        np.testing.assert_array_equal(data(jax.random.fold_in(key, int(number))), words(child))


@every_seed
@every("bit_width", [8, 16, 32, 64])
def test_bits_of_every_width_are_the_pinned_ones(pinned: dict[str, Any], bit_width: int):
    expected = words(pinned["bits"][str(bit_width)])
    key = random.key(pinned["seed"])
    with jax.enable_x64(bit_width == 64):
        drawn = jax.random.bits(key, (len(expected),), f"uint{bit_width}")
    assert drawn.tolist() == expected


@every("bit_width", [8, 16, 32, 64])
@every("shape", [(), (1,), (7,), (0, 4), (33, 129), (3, 5, 64), (1027,)])
def test_an_element_of_a_shape_is_that_of_its_linear_index(shape, bit_width: int):
    expected = key_reference.bits(WORDS, bit_width, int(np.prod(shape))).reshape(shape)
    with jax.enable_x64(bit_width == 64):
        drawn = np.asarray(jax.random.bits(KEY, shape, f"uint{bit_width}"))
    assert drawn.dtype == expected.dtype
    np.testing.assert_array_equal(drawn, expected)


def test_bits_are_those_of_flaxnoise():
    np.testing.assert_array_equal(jax.random.bits(KEY, (33, 129)), random.bits(KEY, (33, 129)))


def test_a_child_does_not_depend_on_how_many_there_are():
    many = data(jax.random.split(KEY, 1000))
    np.testing.assert_array_equal(many, key_reference.split(WORDS, np.arange(1000)))
    for shape in (1, 2, 3, 17, (2, 3), (5, 1, 4)):
        children = data(jax.random.split(KEY, shape)).reshape(-1, 4)
        np.testing.assert_array_equal(children, many[: len(children)])


@every("number", [0, 2**32 - 1, jnp.int8(-3), np.uint32(2**31)])
def test_data_is_folded_in_as_32_bits(number):
    folded = data(jax.random.fold_in(KEY, number))
    np.testing.assert_array_equal(folded, key_reference.fold_in(WORDS, int(number) % 2**32))


@every(
    ("seed", "same"),
    [
        (jnp.int32(-1), -1),
        (jnp.int8(-7), -7),
        (jnp.uint32(2**32 - 1), 2**32 - 1),
        (np.int64(2**40 + 5), 2**40 + 5),
        (True, 1),
    ],
)
def test_a_seed_counts_as_its_value_in_64_bits(seed, same: int):
    np.testing.assert_array_equal(data(random.key(seed)), key_reference.of_seed(same))


@every("x64", [False, True])
def test_a_seed_gives_one_key_in_and_out_of_64_bit_mode(x64: bool):
    with jax.enable_x64(x64):
        for seed in (-1, 2**40 + 5):
            expected = key_reference.of_seed(seed)
            np.testing.assert_array_equal(data(random.key(seed)), expected)
            np.testing.assert_array_equal(data(jax.jit(lambda s=seed: random.key(s))()), expected)
        by_jax = jax.random.key(-1, impl=random.IMPL)
        np.testing.assert_array_equal(data(by_jax), key_reference.of_seed(-1))


@every(
    ("seed", "error", "text"),
    [
        (1.5, TypeError, "key: seed must be an integer, got 1.5."),
        (None, TypeError, "key: seed must be an integer, got None."),
        (KEY, TypeError, "key: seed must be an integer, got key<flaxnoise>[]."),
        (jnp.float32(1), TypeError, "key: seed must be an integer, got float32[]."),
        (
            jnp.arange(3),
            ValueError,
            "key: seed must be a single integer, got int32[3]. Map over them with jax.vmap.",
        ),
        (2**63, ValueError, f"key: seed must be in [−2^63, 2^63), got {2**63}."),
    ],
)
def test_what_is_no_seed_is_refused(seed, error: type[Exception], text: str):
    with pytest.raises(error) as raised:
        random.key(seed)
    assert str(raised.value) == text


def test_jax_refuses_a_seed_that_is_no_integer_with_the_same_text():
    with pytest.raises(TypeError, match="key: seed must be an integer, got float32"):
        jax.random.key(1.5, impl=random.IMPL)
