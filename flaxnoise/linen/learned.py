"""Layers whose noise is learned: they own its parameters."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from flaxnoise import arguments, functional
from flaxnoise.linen.base import Noise, Shared

# Their __call__ makes the parameter and hands it to that of the class below them.


class _LogAlpha(nn.Module):
    initial: float = -3.0


class _Logit(nn.Module):
    initial: float = -2.2
    temperature: jax.typing.ArrayLike = 0.1


class _Features(nn.Module):
    features: int
    factorised: bool = True
    stddev: float | None = None


class _VariationalDropout(Noise, Shared, _LogAlpha):
    _function = staticmethod(functional.variational_dropout)


class _ConcreteDropout(Noise, Shared, _Logit):
    _function = staticmethod(functional.concrete_dropout)


class VariationalDropout(_VariationalDropout):
    """Multiplies by normal noise of learned variance α: y = x·(1 + √α·n).

    The layer of ``flaxnoise.variational_dropout``, with one log α for each feature, a parameter
    "log_alpha". The sum of ``flaxnoise.variational_dropout_kl`` goes to the collection "losses" as
    "kl", where that is mutable.

    Attributes:
        initial: log α where learning starts.
        broadcast_dims, deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> dropout = flaxnoise.linen.VariationalDropout(-3.0, deterministic=False)
        >>> variables = dropout.init(key, x)
        >>> y, sown = dropout.apply(variables, x, rngs={"dropout": key}, mutable="losses")
        >>> sown["losses"]["kl"].shape
        ()
    """

    @nn.compact
    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        inputs: jax.Array,
        deterministic: bool | None = None,
        rng: jax.Array | None = None,
        *,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Applies the function with the parameter; the arguments are those of ``Dropout``."""
        log_alpha = self.param(
            "log_alpha", nn.initializers.constant(self.initial), inputs.shape[-1:]
        )
        if not self.is_initializing():
            penalty = functional.variational_dropout_kl(log_alpha).sum()
            self.sow("losses", "kl", penalty, reduce_fn=jnp.add, init_fn=lambda: jnp.zeros(()))
        return super().__call__(inputs, deterministic, rng, key=key, log_alpha=log_alpha)


class ConcreteDropout(_ConcreteDropout):
    """Multiplies by a continuous mask of a learned rate: y = x·(1 − z)/(1 − rate).

    The layer of ``flaxnoise.concrete_dropout``, with one logit, a parameter "logit". The loss needs
    ``flaxnoise.concrete_dropout_penalty`` of it and of the kernel that follows.

    Attributes:
        initial: logit where learning starts; −2.2 is a rate of 0.1.
        temperature: of the mask.
        broadcast_dims, deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> dropout = flaxnoise.linen.ConcreteDropout(-2.2, deterministic=False)
        >>> variables = dropout.init(key, x)
        >>> y = dropout.apply(variables, x, rngs={"dropout": key})
        >>> logit = variables["params"]["logit"]
        >>> kernel = jnp.ones((129, 5))
        >>> penalty = flaxnoise.concrete_dropout_penalty(logit, kernel, weight=1e-6, entropy=1e-3)
    """

    @nn.compact
    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        inputs: jax.Array,
        deterministic: bool | None = None,
        rng: jax.Array | None = None,
        *,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Applies the function with the parameter; the arguments are those of ``Dropout``."""
        logit = self.param("logit", nn.initializers.constant(self.initial), ())
        return super().__call__(inputs, deterministic, rng, key=key, logit=logit)


class NoisyDense(Noise, _Features):
    """Multiplies by a noisy matrix: y = x·(kernel + kernel_stddev⊙n) + bias + bias_stddev⊙m.

    The layer of ``flaxnoise.noisy_dense``, without noise where deterministic. Parameters start as
    in the paper: kernel and bias uniform within ±1/√inputs (factorised) or ±√(3/inputs), stddevs at
    stddev/√inputs or at stddev.

    Attributes:
        features: number of outputs.
        factorised: whether the noise of the matrix is a product of two vectors.
        stddev: where learning starts; by default 0.5 if factorised, else 0.017.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> dense = flaxnoise.linen.NoisyDense(5, deterministic=False)
        >>> variables = dense.init(key, x)
        >>> y = dense.apply(variables, x, rngs={"dropout": key})
    """

    def __post_init__(self) -> None:
        arguments.count("noisy_dense", "features", self.features)
        if self.stddev is not None:
            arguments.finite("noisy_dense", "stddev", self.stddev, ())
        super().__post_init__()

    @nn.compact
    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        inputs: jax.Array,
        deterministic: bool | None = None,
        rng: jax.Array | None = None,
        *,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Multiplies; the arguments are those of ``Dropout``."""
        bound, stddev = functional.noisy_dense_start(inputs.shape[-1], self.factorised, self.stddev)
        shape = (inputs.shape[-1], self.features)
        parameters = {}
        for name, dims in (("kernel", shape), ("bias", shape[1:])):
            parameters[name] = self.param(name, _symmetric(bound), dims)
            name = f"{name}_stddev"
            parameters[name] = self.param(name, nn.initializers.constant(stddev), dims)
        if nn.merge_param("deterministic", self.deterministic, deterministic):
            return inputs @ parameters["kernel"] + parameters["bias"]
        key = rng if key is None else key
        key = self._next_key({}) if key is None else key
        return functional.noisy_dense(key, inputs, **parameters, factorised=self.factorised)


def _symmetric(bound: float) -> Any:
    def initialise(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return initialise
