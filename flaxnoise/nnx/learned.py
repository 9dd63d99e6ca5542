"""Layers whose noise has learned parameters."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from flaxnoise import arguments, functional
from flaxnoise.nnx.base import Noise, Shared, Streams


class VariationalDropout(Shared):
    """Multiplies by normal noise of learned variance α: y = x·(1 + √α·n).

    Layer version of ``flaxnoise.variational_dropout``, with a Param ``log_alpha``.

    Args:
        shape: shape of log α, which broadcasts to the inputs; usually the number of features.
        initial: initial value of log α.
        broadcast_dims, deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> dropout = flaxnoise.nnx.VariationalDropout(129, rngs=nnx.Rngs(0))
        >>> def loss(dropout, x):
        ...     return jnp.mean(dropout(x) ** 2) + dropout.kl() / 50000
        >>> gradients = nnx.grad(loss)(dropout, x)
    """

    shape: int | tuple[int, ...]
    initial: float = -3.0
    _function = staticmethod(functional.variational_dropout)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.log_alpha = nnx.Param(jnp.full(self.shape, self.initial, jnp.float32))

    def kl(self) -> jax.Array:
        """The sum of ``flaxnoise.variational_dropout_kl``; divide it by the number of examples."""
        return functional.variational_dropout_kl(self.log_alpha.get_value()).sum()


class ConcreteDropout(Shared):
    """Multiplies by a continuous mask of a learned rate: y = x·(1 − z)/(1 − rate).

    Layer version of ``flaxnoise.concrete_dropout``, with a Param ``logit``.

    Args:
        initial: initial value of the logit; −2.2 is a rate of 0.1.
        temperature: temperature of the mask.
        broadcast_dims, deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> dropout = flaxnoise.nnx.ConcreteDropout(rngs=nnx.Rngs(0))
        >>> y = dropout(x)
        >>> penalty = dropout.penalty(jnp.ones((129, 5)), weight=1e-6, entropy=1e-3)
    """

    initial: float = -2.2
    _: dataclasses.KW_ONLY
    temperature: jax.typing.ArrayLike = 0.1
    _function = staticmethod(functional.concrete_dropout)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.logit = nnx.Param(jnp.asarray(self.initial, jnp.float32))

    def penalty(self, kernel: jax.Array, *, weight: float, entropy: float) -> jax.Array:
        """``flaxnoise.concrete_dropout_penalty`` of the logit and of the next layer's kernel."""
        logit = self.logit.get_value()
        return functional.concrete_dropout_penalty(logit, kernel, weight=weight, entropy=entropy)


@dataclasses.dataclass(eq=False, repr=False)
class NoisyDense(Noise):
    """Multiplies by a noisy matrix: y = x·(kernel + kernel_stddev⊙n) + bias + bias_stddev⊙m.

    Layer version of ``flaxnoise.noisy_dense``, without noise if deterministic. Parameters are
    initialised as in the paper: kernel and bias uniform within ±1/√inputs if factorised, else
    ±√(3/inputs); their stddevs equal to σ₀/√inputs if factorised, else σ₀.

    Args:
        in_features: number of inputs.
        out_features: number of outputs.
        factorised: whether the noise of the matrix is a product of two vectors.
        stddev: initial stddev σ₀; by default 0.5 if factorised, else 0.017.
        deterministic, rng_collection: as in ``Dropout``.
        rngs: an Rngs, whose stream "params" initialises the parameters.

    Example:
        >>> from flax import nnx
        >>> y = flaxnoise.nnx.NoisyDense(129, 5, rngs=nnx.Rngs(0))(x)
    """

    in_features: int
    out_features: int
    _: dataclasses.KW_ONLY
    factorised: bool = True
    stddev: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.rngs, nnx.Rngs):
            raise TypeError(
                "NoisyDense: rngs must be an nnx.Rngs, which gives the parameters, got "
                f"{type(self.rngs).__name__}."
            )
        arguments.count("noisy_dense", "in_features", self.in_features)
        arguments.count("noisy_dense", "out_features", self.out_features)
        if self.stddev is not None:
            arguments.finite("noisy_dense", "stddev", self.stddev, ())
        rngs = self.rngs
        bound, stddev = functional.noisy_dense_start(self.in_features, self.factorised, self.stddev)
        for name, shape in (
            ("kernel", (self.in_features, self.out_features)),
            ("bias", (self.out_features,)),
        ):
            start = jax.random.uniform(rngs.params(), shape, jnp.float32, -bound, bound)
            setattr(self, name, nnx.Param(start))
            setattr(self, f"{name}_stddev", nnx.Param(jnp.full(shape, stddev, jnp.float32)))
        super().__post_init__()

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        inputs: jax.Array,
        *,
        deterministic: bool | None = None,
        rngs: Streams | None = None,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Applies the function with the parameters; arguments as in ``Dropout``."""
        names = ("kernel", "bias", "kernel_stddev", "bias_stddev")
        parameters = {name: getattr(self, name).get_value() for name in names}
        if self._is_deterministic(deterministic):
            return functional.calm_dense(inputs, parameters["kernel"], parameters["bias"])
        key = self._next_key(rngs, {}) if key is None else key
        return functional.noisy_dense(key, inputs, **parameters, factorised=self.factorised)
