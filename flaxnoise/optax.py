"""Gradient noise as an optax transformation, drawn by flaxnoise."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from flaxnoise import arguments
from flaxnoise.functional.gaussian import gaussian_noise

_OWNER = "add_noise"


class AddNoiseState(NamedTuple):
    """State of ``add_noise``.

    Attributes:
        count: updates so far, int32.
        key: the key passed to ``add_noise``; it does not change.
    """

    count: jax.Array  # pyright: ignore[reportIncompatibleMethodOverride]  # of tuple
    key: jax.Array


def add_noise(
    eta: jax.typing.ArrayLike, gamma: jax.typing.ArrayLike, key: jax.Array
) -> optax.GradientTransformation:
    """Adds annealed normal noise to the updates: u + σ·n, σ² = η/(1 + t)^γ.

    Computes the same formula as ``optax.add_noise``, but the noise does not depend on how updates
    are sharded, and kernels draw and add it in one pass, without an array of normals. Leaf i of
    update t, both counted from 0, is ``flaxnoise.gaussian_noise(k, u, σ)`` with
    ``k = jax.random.fold_in(jax.random.fold_in(key, t), i)``. Leaves are in the order of
    ``jax.tree.leaves``, without those that ``optax.masked`` masks.

    Neelakantan et al., "Adding gradient noise improves learning for very deep networks", 2015.

    Args:
        eta: variance of the noise of the first update, in squared units of the updates, ≥ 0. May
            be traced, as under ``optax.inject_hyperparams``. Then it is not checked, and no noise
            is added if σ is not finite.
        gamma: exponent of the decay, finite; the paper's is 0.55. May be traced.
        key: a jax.random key, typed or raw.

    Returns:
        A transformation whose state is an ``AddNoiseState``.

    Raises:
        TypeError: eta or gamma is not a single real number, or key is not a key. From update: a
            leaf is not floating.
        ValueError: eta is negative or not finite, gamma is not finite, or key is a batch of keys.

    Example:
        >>> import optax, flaxnoise.optax
        >>> noise = flaxnoise.optax.add_noise(eta=0.01, gamma=0.55, key=key)
        >>> solver = optax.chain(noise, optax.sgd(0.1))
        >>> state = solver.init(x)
        >>> updates, state = solver.update(x, state, x)
        >>> int(optax.tree.get(state, "count"))
        1
    """
    arguments.nonnegative(_OWNER, "eta", eta, ())
    arguments.finite(_OWNER, "gamma", gamma, ())
    arguments.single_key(_OWNER, key)

    def init(params: optax.Params) -> AddNoiseState:
        del params
        return AddNoiseState(count=jnp.zeros((), jnp.int32), key=key)

    def update(
        updates: optax.Updates, state: Any, params: optax.Params | None = None
    ) -> tuple[optax.Updates, AddNoiseState]:
        del params
        step = jax.random.fold_in(state.key, state.count)
        stddev = _stddev(eta, gamma, state.count)
        leaves, tree = jax.tree.flatten(updates)
        noisy = [
            gaussian_noise(jax.random.fold_in(step, i), _floating(leaf), stddev)
            for i, leaf in enumerate(leaves)
        ]
        return tree.unflatten(noisy), state._replace(count=optax.safe_increment(state.count))

    return optax.GradientTransformation(init, update)


def _stddev(eta: jax.typing.ArrayLike, gamma: jax.typing.ArrayLike, count: jax.Array) -> jax.Array:
    """√(η/(1 + t)^γ) in float32."""
    eta, gamma = jnp.asarray(eta, jnp.float32), jnp.asarray(gamma, jnp.float32)
    return jnp.sqrt(eta / (1 + count.astype(jnp.float32)) ** gamma)


def _floating(leaf: jax.Array) -> jax.Array:
    return arguments.inexact(_OWNER, leaf, complex_too=False)
