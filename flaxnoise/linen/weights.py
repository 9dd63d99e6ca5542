"""Noise on the weights of a layer."""

from typing import Any

import jax
from flax import linen as nn
from flax.core import meta

from flaxnoise.functional.formula import without_local_shard
from flaxnoise.layer import Layer


class WeightNoise(Layer, nn.Module):
    """Applies a layer with noise on one of its parameters, drawn once for the whole batch.

    With Dropout on the kernel, this is DropConnect: Wan et al., "Regularization of neural networks
    using DropConnect", ICML 2013. With GaussianNoise, it is weight noise: Graves, "Practical
    variational inference for neural networks", NeurIPS 2011. With WordDropout on the "embedding" of
    an Embed layer it drops words of the vocabulary.

    Attributes:
        layer: flax.linen.Dense, Conv, Embed or any other layer that has the parameter itself.
        noise: a layer of flaxnoise.
        parameter: name of the parameter.
        deterministic: whether to call the layer without noise. Given here or at call time.

    Example:
        >>> from flax import linen
        >>> noise = flaxnoise.linen.Dropout(0.5)
        >>> dense = flaxnoise.linen.WeightNoise(linen.Dense(5), noise)
        >>> variables = dense.init(key, x, deterministic=True)
        >>> y = dense.apply(variables, x, deterministic=False, rngs={"dropout": key})
    """

    layer: nn.Module
    noise: nn.Module
    parameter: str = "kernel"
    deterministic: bool | None = None

    @nn.compact
    def __call__(
        self,
        inputs: Any,
        deterministic: bool | None = None,
        *,
        key: jax.Array | None = None,
        **given: Any,
    ) -> Any:
        """Calls the layer.

        Args:
            inputs: inputs of the layer.
            deterministic: must be given here or to the constructor, not to both.
            key: a key for the noise, to use instead of the next one of its stream.
            **given: arguments of the noise, such as a rate; may be traced.

        Returns:
            What the layer returns.

        Raises:
            ValueError: the layer has no such parameter; or raised by the noise.
        """
        deterministic = nn.merge_param("deterministic", self.deterministic, deterministic)
        if self.is_initializing() or deterministic:
            return self.layer(inputs)
        parameters = dict(self.layer.variables.get("params", {}))
        if self.parameter not in parameters:
            raise ValueError(
                f"WeightNoise: parameter must be one of the layer's, {sorted(parameters)}, got "
                f"{self.parameter!r}."
            )
        boxed = parameters[self.parameter]  # by with_partitioning, for example
        with without_local_shard():
            noisy = self.noise(meta.unbox(boxed), deterministic=False, key=key, **given)
        noisy = meta.replace_boxed(boxed, noisy)
        call = nn.map_variables(
            lambda layer, x: layer(x),
            "params",
            lambda variables: {"params": {**variables["params"], self.parameter: noisy}},
        )
        return call(self.layer, inputs)
