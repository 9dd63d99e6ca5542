"""The table of our own functions. A new noise is a new row, and a law in laws.py."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen

import flaxnoise
from bench.laws import FACTOR, HIGH, IDS, L1, LOGIT, LOW, RATE, STDDEV, TEMPERATURE
from bench.programs import Function, Heat, Program, jax_program
from flaxnoise.backends.choice import BACKENDS
from flaxnoise.linen import Dropout, WeightNoise


def _tokens(key: jax.Array, x: jax.Array) -> jax.Array:
    ids = (x.astype(jnp.float32) * IDS).astype(jnp.int32)
    return flaxnoise.token_dropout(key, ids, RATE, mask_id=0).astype(x.dtype)


def _noisy_dense(key: jax.Array, x: jax.Array) -> jax.Array:
    """A dense layer whose inputs are one-hot, so that y is the noise on its weights."""
    stddev = x.reshape(-1, x.shape[-1])
    kernel, bias = jnp.zeros_like(stddev), jnp.zeros_like(stddev[0])
    inputs = jnp.eye(stddev.shape[0], dtype=x.dtype)
    y = flaxnoise.noisy_dense(key, inputs, kernel, bias, stddev, bias, factorised=False)
    return y.reshape(x.shape)


def _drop_connect(key: jax.Array, x: jax.Array) -> jax.Array:
    """The same, of weights x that are dropped."""
    kernel = x.reshape(-1, x.shape[-1])
    dense = WeightNoise(linen.Dense(kernel.shape[1], use_bias=False), Dropout(RATE))
    inputs = jnp.eye(kernel.shape[0], dtype=x.dtype)
    parameters = {"params": {"layer": {"kernel": kernel}}}
    return dense.apply(parameters, inputs, deterministic=False, key=key).reshape(x.shape)


class Case(NamedTuple):
    """A kind of work, and how we do it: (key, x) -> y."""

    work: str
    function: Function


CASES = (
    Case("dropout", lambda key, x: flaxnoise.dropout(key, x, RATE)),
    Case("gaussian_noise", lambda key, x: flaxnoise.gaussian_noise(key, x, STDDEV)),
    Case("normal", lambda key, x: flaxnoise.random.normal(key, x.shape, x.dtype)),
    Case("gaussian_dropout", lambda key, x: flaxnoise.gaussian_dropout(key, x, RATE)),
    Case("alpha_dropout", lambda key, x: flaxnoise.alpha_dropout(key, x, RATE)),
    Case("token_dropout", lambda key, x: _tokens(key, x)),
    Case(
        "variational_dropout",
        lambda key, x: flaxnoise.variational_dropout(key, x, 2 * math.log(STDDEV)),
    ),
    Case(
        "concrete_dropout",
        lambda key, x: flaxnoise.concrete_dropout(key, x, LOGIT, temperature=TEMPERATURE),
    ),
    Case("noisy_dense", _noisy_dense),
    Case("drop_connect", _drop_connect),
    Case("gradient_noise", lambda key, x: flaxnoise.gradient_noise(key, x, STDDEV)),
    Case("gradient_scale", lambda key, x: flaxnoise.gradient_scale(x, FACTOR)),
    Case("gradient_reversal", lambda key, x: flaxnoise.gradient_reversal(x)),
    Case("activity_regularization", lambda key, x: flaxnoise.activity_regularization(x, l1=L1)),
    Case("stop_gradient", lambda key, x: flaxnoise.stop_gradient(x)),
    Case(
        "attention_dropout",
        lambda key, x: flaxnoise.attention_dropout(key, x, RATE, broadcast_dropout=True),
    ),
    Case("feature_alpha_dropout", lambda key, x: flaxnoise.feature_alpha_dropout(key, x, RATE)),
    Case("spatial_dropout_1d", lambda key, x: flaxnoise.spatial_dropout_1d(key, x, RATE)),
    Case("spatial_dropout_3d", lambda key, x: flaxnoise.spatial_dropout_3d(key, x, RATE)),
    Case("consistent_dropout", lambda key, x: flaxnoise.dropout(key, x, RATE, broadcast_dims=0)),
    Case("drop_path", lambda key, x: flaxnoise.drop_path(key, x, RATE)),
    Case("word_dropout", lambda key, x: flaxnoise.word_dropout(key, x, RATE)),
    Case("drop_block", lambda key, x: flaxnoise.drop_block_2d(key, x, RATE, block_size=7)),
    Case("spatial_dropout", lambda key, x: flaxnoise.spatial_dropout_2d(key, x, RATE)),
    Case(
        "masked_gaussian_noise",
        lambda key, x: flaxnoise.masked_gaussian_noise(key, x, RATE, STDDEV),
    ),
    Case("uniform_noise", lambda key, x: flaxnoise.uniform_noise(key, x, STDDEV)),
    Case("multiplicative_uniform", lambda key, x: flaxnoise.multiplicative_uniform(key, x, STDDEV)),
    Case("laplace_noise", lambda key, x: flaxnoise.laplace_noise(key, x, STDDEV)),
    Case(
        "salt_and_pepper_noise",
        lambda key, x: flaxnoise.salt_and_pepper_noise(key, x, RATE, LOW, HIGH),
    ),
)


def backends(platform: str) -> list[str]:
    """Ours that serve a platform and are there, the one that is chosen by itself first."""
    return [name for name in BACKENDS if serves(name, platform) and name not in missing(platform)]


def missing(platform: str) -> dict[str, str]:
    """Those that would serve this platform, and why they are not there."""
    return {
        name: reason
        for name, reason in flaxnoise.backends().items()
        if reason != "available" and serves(name, platform)
    }


def builder(case: Case, backend: str) -> Callable[[Heat], Program]:
    """Makes a case ready on one backend.

    A call that is not jitted is traced again each time: it has the backend around it then.
    """

    def function(key: jax.Array, x: jax.Array) -> jax.Array:
        with flaxnoise.backend(backend):
            return case.function(key, x)

    return lambda heat: jax_program(function, heat)


def serves(name: str, platform: str) -> bool:
    return platform in (BACKENDS[name].platforms or (platform,))
