"""Fallbacks for private names of jax that may be missing: they only cost speed."""

import importlib.util
import types
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, PartitionSpec

import flaxnoise
from cases import KEY
from flaxnoise.affine import lowering, private
from flaxnoise.affine.sharding import surroundings
from flaxnoise.backends import cpu

X = jnp.ones((4, 33))
CALL = f"custom_call @{cpu.TARGET}"


def drop(x: jax.Array) -> jax.Array:
    return flaxnoise.dropout(KEY, x, 0.3)


def a_context(**fields: Any) -> Any:
    """A lowering context of a jax that only has these fields."""
    return types.SimpleNamespace(module_context=types.SimpleNamespace(**fields))


def test_what_a_context_does_not_tell_counts_as_what_the_xla_form_serves():
    assert private.program_devices(a_context()) == ()
    assert private.is_exported(a_context())
    assert private.platform(a_context()) == "several"
    assert surroundings(a_context()) == "mixed"


@pytest.mark.parametrize("name", ["is_exported", "platform"])
def test_without_it_the_xla_form_serves(name: str, monkeypatch: pytest.MonkeyPatch):
    expected = drop(X)
    gone = {"is_exported": True, "platform": "several"}[name]
    monkeypatch.setattr(lowering.private, name, lambda _: gone)
    program = jax.jit(lambda x: drop(x)).lower(X)
    assert CALL not in program.as_text()
    assert jnp.array_equal(program.compile()(X), expected)


def test_without_varying_axes_shard_map_has_to_check_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("flaxnoise.affine.varying.varying_axes", lambda _: frozenset())
    mesh = jax.make_mesh((1,), ("d",), (AxisType.Auto,))
    spec = PartitionSpec("d")

    def local(x: jax.Array) -> jax.Array:
        return flaxnoise.dropout(flaxnoise.fold_in_axes(KEY, "d"), x, 0.3)

    mapped = jax.shard_map(local, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    expected = flaxnoise.dropout(jax.random.fold_in(KEY, 0), X, 0.3)
    assert jnp.array_equal(jax.jit(mapped)(X), expected)


def test_a_jax_without_kinds_of_inlining_calls_it_true(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(jax, "Inline", raising=False)
    spec = importlib.util.find_spec("flaxnoise.affine.private")
    older = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(older)
    assert older.FLAT is True
    monkeypatch.undo()
    inner = jax.jit(lambda x: x + 1, inline=older.FLAT)
    assert jnp.array_equal(jax.jit(lambda x: inner(x) * 2)(X), (X + 1) * 2)
