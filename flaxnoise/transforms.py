"""Transforms of stochastic functions: one key per example, and Monte-Carlo passes."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from flaxnoise import arguments


def per_example(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Makes a function of flaxnoise take a batch of keys: example i of x gets the noise of keys[i].

    Equivalent to jax.vmap over keys and x, nested for batches of any rank, with all other arguments
    shared. The noise of an example then does not depend on the batch that contains it.

    Args:
        function: called as ``function(key, x, …)``, such as ``flaxnoise.dropout``.

    Returns:
        A function of (keys, x, …). The leading dimensions of x are those of keys; the other
        arguments are those of a call for one example. It raises ValueError if the leading
        dimensions differ, and TypeError if keys are not jax.random keys.

    Example:
        >>> keys = jax.random.split(key, 33)
        >>> y = flaxnoise.per_example(flaxnoise.dropout)(keys, x, 0.5)
        >>> bool((y[7] == flaxnoise.dropout(keys[7], x[7], 0.5)).all())
        True

        With a layer:

        >>> layer = flaxnoise.nnx.Dropout(0.5)
        >>> z = flaxnoise.per_example(lambda key, x: layer(x, key=key))(keys, x)
        >>> bool((z == y).all())
        True
    """
    return _PerExample(arguments.function("per_example", "function", function))


class _PerExample:
    """A function of a batch of keys, as a class so that it can be pickled."""

    def __init__(self, function: Callable[..., jax.Array]):
        functools.update_wrapper(self, function)
        self.__wrapped__ = function

    def __reduce__(self) -> tuple[Any, ...]:
        return per_example, (self.__wrapped__,)

    def __call__(self, keys: jax.Array, x: jax.Array, *args: Any, **kwargs: Any) -> jax.Array:
        owner = f"per_example({getattr(self.__wrapped__, '__name__', 'function')})"
        batch = arguments.key_batch(owner, keys)
        shape = tuple(getattr(x, "shape", ()))
        if shape[: len(batch)] != batch:
            raise ValueError(
                f"{owner}: keys must have the leading dimensions of x, got keys of shape {batch} "
                f"and x of shape {shape}."
            )

        def one(key: jax.Array, x: jax.Array) -> jax.Array:
            return self.__wrapped__(key, x, *args, **kwargs)

        for _ in batch:
            one = jax.vmap(one)
        return one(keys, x)


class MonteCarlo(NamedTuple):
    """The samples of ``mc_apply`` and their statistics, as a pytree.

    Attributes:
        samples: results of all passes, stacked along a new first dimension.
        mean: mean over the passes.
        variance: biased variance over the passes (divided by their number).
    """

    samples: Any
    mean: Any
    variance: Any

    def entropy(self) -> jax.Array:
        """Total uncertainty in nats of class probabilities (last dimension): H(mean)."""
        return _entropy(self.mean)

    def mutual_information(self) -> jax.Array:
        """Model (epistemic) part of ``entropy``, in nats: H(mean) − mean of H(samples), or BALD.

        Houlsby et al., "Bayesian active learning for classification and preference learning", 2011.
        """
        return self.entropy() - jnp.mean(_entropy(self.samples), axis=0)


def mc_apply(function: Callable[..., Any], key: jax.Array, *args: Any, samples: int) -> MonteCarlo:
    """Runs a stochastic function several times with different keys, in one vectorised call.

    To use the same mask for several inputs in a pass, share it along the batch dimension with
    ``broadcast_dims``. Gal and Ghahramani, "Dropout as a Bayesian approximation", ICML 2016.

    Args:
        function: called as ``function(key, *args)``; returns an array or a tree of arrays.
        key: a jax.random key, split into one for each pass.
        *args: further arguments of the function, the same in all passes.
        samples: number of passes.

    Returns:
        Samples, mean and variance.

    Raises:
        TypeError: key is not a key, samples is not an integer.
        ValueError: a batch of keys, samples below 1.

    Example:
        >>> def predict(key, x):
        ...     return jax.nn.softmax(flaxnoise.dropout(key, x, 0.5))
        >>> result = flaxnoise.mc_apply(predict, key, x, samples=8)
        >>> result.mean.shape, result.entropy().shape
        ((33, 129), (33,))
    """
    arguments.function("mc_apply", "function", function)
    key = arguments.single_key("mc_apply", key)
    samples = arguments.count("mc_apply", "samples", samples)
    keys = jax.random.split(key, samples)
    results = jax.vmap(lambda key: function(key, *args))(keys)
    mean = jax.tree.map(lambda value: jnp.mean(value, axis=0), results)
    variance = jax.tree.map(lambda value: jnp.var(value, axis=0), results)
    return MonteCarlo(results, mean, variance)


def _entropy(probabilities: jax.Array) -> jax.Array:
    return jnp.sum(jax.scipy.special.entr(probabilities), axis=-1)
