"""The interpreter sees the defects that it is trusted to see, planted here."""

import jax
import jax.numpy as jnp
import pytest

import interpreted_gpu
from flaxnoise.backends import mosaic_gpu_kernel


@pytest.fixture(autouse=True)
def _clean_interpreter():
    yield
    interpreted_gpu.reset()


def bits(size: int) -> jax.Array:
    key = {"key": jnp.uint32([1, 2, 3, 4])}
    return interpreted_gpu.affine(
        key, kind="bits", shape=(size,), global_shape=None, dtype=jnp.uint32
    )


@pytest.mark.skipif(
    jax.__version_info__ < (0, 12),
    reason="the interpreter of jax before 0.12 sees no race between programs",
)
def test_two_programs_that_write_the_same_tile_are_a_race(monkeypatch):
    monkeypatch.setattr(mosaic_gpu_kernel, "_first", lambda number, plan: number * 0)
    with pytest.raises(jax.errors.JaxRuntimeError, match="RACE"):
        bits(8192)


def test_a_tile_behind_the_end_raises(monkeypatch):
    first = mosaic_gpu_kernel._first
    monkeypatch.setattr(
        mosaic_gpu_kernel, "_first", lambda number, plan: first(number, plan) + plan.tile
    )
    with pytest.raises(jax.errors.JaxRuntimeError, match="Out-of-bounds"):
        bits(8192)
