"""Layers whose noise has learned parameters."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from flaxnoise import arguments, functional
from flaxnoise.linen.base import Noise, Shared

# The public layers create the parameter and pass it to __call__ of the base classes below.


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

    Layer version of ``flaxnoise.variational_dropout``, with one log α per feature in the parameter
    "log_alpha". Sows the sum of ``flaxnoise.variational_dropout_kl`` as "kl" into the collection
    "losses", if that is mutable.

    Attributes:
        initial: initial value of log α.
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
        """Applies the function with the parameter; arguments as in ``Dropout``."""
        log_alpha = self.param(
            "log_alpha", nn.initializers.constant(self.initial), inputs.shape[-1:]
        )
        if not self.is_initializing():
            penalty = functional.variational_dropout_kl(log_alpha).sum()
            self.sow("losses", "kl", penalty, reduce_fn=jnp.add, init_fn=lambda: jnp.zeros(()))
        return super().__call__(inputs, deterministic, rng, key=key, log_alpha=log_alpha)


class ConcreteDropout(_ConcreteDropout):
    """Multiplies by a continuous mask of a learned rate: y = x·(1 − z)/(1 − rate).

    Layer version of ``flaxnoise.concrete_dropout``, with one logit in the parameter "logit". Add
    ``flaxnoise.concrete_dropout_penalty`` of the logit and of the next layer's kernel to the loss.

    Attributes:
        initial: initial value of the logit; −2.2 is a rate of 0.1.
        temperature: temperature of the mask.
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
        """Applies the function with the parameter; arguments as in ``Dropout``."""
        logit = self.param("logit", nn.initializers.constant(self.initial), ())
        return super().__call__(inputs, deterministic, rng, key=key, logit=logit)


class NoisyDense(Noise, _Features):
    """Multiplies by a noisy matrix: y = x·(kernel + kernel_stddev⊙n) + bias + bias_stddev⊙m.

    Layer version of ``flaxnoise.noisy_dense``, without noise if deterministic. Parameters are
    initialised as in the paper: kernel and bias uniform within ±1/√inputs if factorised, else
    ±√(3/inputs); their stddevs equal to σ₀/√inputs if factorised, else σ₀.

    Attributes:
        features: number of outputs.
        factorised: whether the noise of the matrix is a product of two vectors.
        stddev: initial stddev σ₀; by default 0.5 if factorised, else 0.017.
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
        """Applies the function with the parameters; arguments as in ``Dropout``."""
        inputs = arguments.inexact("noisy_dense", inputs, complex_too=False)
        arguments.at_least_dimensions("noisy_dense", inputs, 1)
        if self.has_variable("params", "kernel"):  # before Flax refuses another shape
            kernel = nn.meta.unbox(self.get_variable("params", "kernel"))
            arguments.of_shape("noisy_dense", "kernel", kernel, (inputs.shape[-1], self.features))
        bound, stddev = functional.noisy_dense_start(inputs.shape[-1], self.factorised, self.stddev)
        shape = (inputs.shape[-1], self.features)
        parameters = {}
        for name, dims in (("kernel", shape), ("bias", shape[1:])):
            parameters[name] = self.param(name, _symmetric(bound), dims)
            name = f"{name}_stddev"
            parameters[name] = self.param(name, nn.initializers.constant(stddev), dims)
        if nn.merge_param("deterministic", self.deterministic, deterministic):
            return functional.calm_dense(inputs, parameters["kernel"], parameters["bias"])
        key = rng if key is None else key
        key = self._next_key({}) if key is None else key
        return functional.noisy_dense(key, inputs, **parameters, factorised=self.factorised)


def _symmetric(bound: float) -> Any:
    def initialise(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return initialise
