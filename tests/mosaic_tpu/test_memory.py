"""The memory-checking interpreter finds no fault in the TPU kernel, and every planted one."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl

import interpreted_tpu
import reference
from every import every
from flaxnoise.backends.mosaic_tpu import backend

WORDS = (1, 2, 3, 4)
KEY = jnp.asarray(WORDS, jnp.uint32)


@pytest.fixture(autouse=True)
def _clean_interpreter():
    yield
    interpreted_tpu.reset()


def index(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.uint64).reshape(shape)


def mask(shape: tuple[int, ...]) -> np.ndarray:
    threshold = jnp.full((1,) * len(shape), reference.threshold(0.3), jnp.uint32)
    params = {"kind": "keep", "shape": shape, "global_shape": None, "dtype": jnp.bool_}
    return interpreted_tpu.checked({"key": KEY, "threshold": threshold}, **params)


def sum_with_uniforms(x: np.ndarray) -> np.ndarray:
    one = jnp.ones((1,) * x.ndim)
    operands = {"key": KEY, "x": jnp.asarray(x), "a": one, "d": one}
    params = {"kind": "uniform", "shape": x.shape, "global_shape": None, "dtype": jnp.float32}
    return interpreted_tpu.checked(operands, **params)


@every("shape", [(33, 384), (513, 1024)], ids=str)
def test_it_finds_nothing_where_x_is_read(shape: tuple[int, ...]):
    """With one block, and with three of which the last is partial."""
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.testing.assert_array_equal(sum_with_uniforms(x), x + reference.uniform(WORDS, index(shape)))


@every("shape", [(130, 512), (2, 129, 768)], ids=str)
def test_it_finds_nothing_in_the_buffer_of_interleaved_rows(shape: tuple[int, ...]):
    """With one block and with two."""
    np.testing.assert_array_equal(mask(shape), reference.keep(WORDS, index(shape), 0.3))


def with_rows(monkeypatch: pytest.MonkeyPatch, wrong) -> None:
    """Plants a wrong block of rows in everything that is read or written by blocks."""
    right = pl.BlockSpec

    def spec(block, index_map, **memory):
        index_map = index_map if memory else lambda e, i, j: (e, wrong(i), j)
        return right(block, index_map, **memory)

    monkeypatch.setattr(pl, "BlockSpec", spec)


def test_two_programs_that_write_the_same_block_are_a_race(monkeypatch: pytest.MonkeyPatch):
    with_rows(monkeypatch, lambda i: i * 0)
    with pytest.raises(RuntimeError, match=r"RACE|a race: what the interpreter printed"):
        mask((513, 1024))


def test_a_block_behind_the_end_is_seen(monkeypatch: pytest.MonkeyPatch):
    with_rows(monkeypatch, lambda i: i + 3)
    with pytest.raises(RuntimeError, match=r"(?i)out.of.bounds"):
        sum_with_uniforms(np.ones((513, 1024), np.float32))


def test_a_form_that_leaves_all_to_xla_is_seen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backend, "grids_of", lambda shape, whole, wide: ())
    with pytest.raises(AssertionError, match="no kernel ran"):
        mask((33, 384))
