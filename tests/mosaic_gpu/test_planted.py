"""The interpreter detects planted defects of the kinds that the tests rely on it for."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import pytest

import interpreted_gpu
from flaxnoise.backends.mosaic_gpu import backend, kernel


@pytest.fixture(autouse=True)
def _clean_interpreter():
    yield
    interpreted_gpu.reset()


def bits(size: int) -> jax.Array:
    key = {"key": jnp.uint32([1, 2, 3, 4])}
    return interpreted_gpu.affine(
        key, kind="bits", shape=(size,), global_shape=None, dtype=jnp.uint32
    )


sees_races = pytest.mark.skipif(
    jax.__version_info__ < (0, 12),
    reason="the interpreter of jax before 0.12 sees no race between programs",
)


@sees_races
def test_two_programs_that_write_the_same_tile_are_a_race(monkeypatch):
    monkeypatch.setattr(kernel, "_first", lambda number, plan: number * 0)
    with pytest.raises(jax.errors.JaxRuntimeError, match="RACE"):
        bits(8192)


@sees_races
def test_a_race_that_the_interpreter_only_counts_raises(monkeypatch):
    counting = dataclasses.replace(interpreted_gpu.PARAMETERS, on_race="warn")
    monkeypatch.setattr(interpreted_gpu, "PARAMETERS", counting)
    monkeypatch.setattr(kernel, "_first", lambda number, plan: number * 0)
    with pytest.raises(RuntimeError, match="a race: what the interpreter printed"):
        bits(8192)


def test_the_verdict_of_the_interpreter_is_read(monkeypatch):
    """Also in jax before 0.12, whose interpreter detects no races."""
    races = types.SimpleNamespace(races_found=True)
    monkeypatch.setattr(interpreted_gpu.interpret_pallas_call, "get_races", lambda: races)
    with pytest.raises(RuntimeError, match="a race: what the interpreter printed"):
        bits(8192)
    bits(1023)  # has no kernel; earlier runs do not count


def test_a_form_that_leaves_all_to_xla_is_seen(monkeypatch):
    monkeypatch.setattr(backend, "TILES", (1 << 30,))
    with pytest.raises(AssertionError, match="the form has no kernel"):
        bits(8192)


def test_a_kernel_that_does_not_run_is_seen(monkeypatch):
    """The kernel is in the program, but in a branch that is not taken."""
    run = backend.MosaicGpu.run

    def skipping(self, call, operands):
        draw = lambda operands: run(self, call, operands)  # noqa: E731
        leave = lambda operands: jax.numpy.zeros(call.shape, call.dtype)  # noqa: E731
        return jax.lax.cond(operands["key"][0] == 0, draw, leave, operands)

    monkeypatch.setattr(backend.MosaicGpu, "run", skipping)
    with pytest.raises(AssertionError):
        bits(8192)


def test_a_tile_behind_the_end_raises(monkeypatch):
    first = kernel._first
    monkeypatch.setattr(kernel, "_first", lambda number, plan: first(number, plan) + plan.tile)
    with pytest.raises(jax.errors.JaxRuntimeError, match="Out-of-bounds"):
        bits(8192)
