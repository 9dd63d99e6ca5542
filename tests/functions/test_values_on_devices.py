"""Only values on the host are checked; values on an accelerator are not fetched."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

import flaxnoise
import flaxnoise.linen
import flaxnoise.nnx
from calls import CALLS, public
from cases import KEY, array
from closeness import assert_same_bits

X = array(5, 33)
# Functions that take no such array, or need a static number.
STATIC = {("dot_product_attention", "scale"), ("dot_product_attention", "logits_soft_cap")}
NOT_CHECKED = {"linear_rates", "mc_apply", "per_example", "residual_drop_path"}


class Gpu:
    """A stand-in for a GPU device."""

    platform = "gpu"


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes arrays report that they are on a GPU."""
    monkeypatch.setattr(type(X), "devices", lambda _: {Gpu})


def unreadable(value: Any) -> jax.Array:
    """Returns a deleted array, which raises when it is read."""
    array = jnp.array(value)
    array.delete()
    return array


def trace(name: str) -> int:
    """Traces a function with unreadable numbers; returns how many there are."""
    numbers = {
        argument: unreadable(value)
        for argument, value in CALLS[name].items()
        if (isinstance(value, float) or argument == "mask_id") and (name, argument) not in STATIC
    }
    jax.eval_shape(lambda: public(name)(**{**CALLS[name], **numbers}))
    return len(numbers)


def test_parameters_on_an_accelerator_are_not_fetched(on_gpu: None):
    assert sum(trace(name) for name in set(CALLS) - NOT_CHECKED) > 30


def test_those_on_the_host_are():
    for name in ("dropout", "gaussian_noise", "token_dropout"):
        with pytest.raises(RuntimeError, match="deleted"):
            trace(name)


def test_protected_ids_on_an_accelerator_are_not_fetched(on_gpu: None):
    flaxnoise.token_dropout(KEY, jnp.arange(6), 0.5, mask_id=3, protected=jnp.arange(2))


def test_layers_do_not_fetch_them_either(on_gpu: None):
    rate = unreadable(0.3)
    layer = flaxnoise.linen.Dropout(rate)
    jax.eval_shape(lambda: layer.apply({}, X, deterministic=False, rng=KEY))
    jax.eval_shape(lambda: flaxnoise.nnx.Dropout(rate)(X, key=KEY))


def test_what_is_not_checked_counts_as_documented(monkeypatch: pytest.MonkeyPatch):
    rate, stddev = jnp.float32(1.5), jnp.float32(jnp.nan)
    with monkeypatch.context() as patch:
        patch.setattr(type(X), "devices", lambda _: {Gpu})
        dropped = flaxnoise.dropout(KEY, X, rate)
        noisy = flaxnoise.gaussian_noise(KEY, X, stddev)
    assert_same_bits(dropped, jnp.zeros_like(X))
    assert_same_bits(noisy, X)
    with pytest.raises(ValueError, match=r"dropout: rate must be in \[0, 1\], got 1.5"):
        flaxnoise.dropout(KEY, X, rate)
