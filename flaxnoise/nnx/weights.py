"""Noise on the weights of a layer."""

import copy
from typing import Any

import jax
from flax import nnx

from flaxnoise.functional.formula import without_local_shard
from flaxnoise.layer import Layer
from flaxnoise.nnx.base import Noise, Streams


class WeightNoise(Layer, nnx.Module):
    """Applies a layer with noise on one of its parameters, drawn once for the whole batch.

    With Dropout on the kernel, this is DropConnect: Wan et al., "Regularization of neural networks
    using DropConnect", ICML 2013. With GaussianNoise, it is weight noise: Graves, "Practical
    variational inference for neural networks", NeurIPS 2011. With WordDropout on the "embedding" of
    an Embed layer it drops words of the vocabulary.

    Args:
        layer: flax.nnx.Linear, Conv, Embed or any other layer that has the parameter itself.
        noise: a layer of flaxnoise; ``train()`` and ``eval()`` switch it.
        parameter: name of the parameter.

    Example:
        >>> from flax import nnx
        >>> rngs = nnx.Rngs(0)
        >>> noise = flaxnoise.nnx.Dropout(0.5, rngs=rngs)
        >>> dense = flaxnoise.nnx.WeightNoise(nnx.Linear(129, 5, rngs=rngs), noise)
        >>> y = dense(x)
    """

    def __init__(self, layer: nnx.Module, noise: Noise, parameter: str = "kernel") -> None:
        if not isinstance(getattr(layer, parameter, None), nnx.Variable):
            raise ValueError(
                f"WeightNoise: parameter must be one of the layer's, got {parameter!r}."
            )
        self.layer = layer
        self.noise = noise
        self.parameter = parameter

    def __call__(
        self,
        inputs: Any,
        *,
        deterministic: bool | None = None,
        rngs: Streams | None = None,
        key: jax.Array | None = None,
        **given: Any,
    ) -> Any:
        """Calls the layer.

        Args:
            inputs: inputs of the layer.
            deterministic: as in the noise's own call.
            rngs: as in the noise's own call.
            key: as in the noise's own call.
            **given: arguments of the noise, such as a rate; may be traced.

        Returns:
            What the layer returns.

        Raises:
            ValueError: raised by the noise.
            TypeError: raised by the noise.
        """
        clean = getattr(self.layer, self.parameter)
        with without_local_shard():
            noisy = self.noise(
                clean.get_value(), deterministic=deterministic, rngs=rngs, key=key, **given
            )
        # A shallow copy shares all other variables, and the layer itself keeps its clean parameter.
        # Attributes that the call sets on itself are lost with the copy.
        layer = copy.copy(self.layer)
        setattr(layer, self.parameter, type(clean)(noisy))
        return layer(inputs)
