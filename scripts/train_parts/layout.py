"""Shardings of batches and parameters over the devices."""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

TENSOR_PARALLEL = 2


class Layout:
    """Parameters are replicated (data), sharded over all devices (fsdp), or by units (tensor)."""

    def __init__(self, name: str):
        model = TENSOR_PARALLEL if name == "tensor" else 1
        devices = jax.device_count()
        if devices % model:
            raise SystemExit(
                f"--layout tensor: needs a multiple of {model} devices, got {devices}."
            )
        self.name = name
        self.mesh = jax.make_mesh(
            (devices // model, model), ("data", "model"), axis_types=(AxisType.Auto,) * 2
        )

    def over_data(self, array: np.ndarray) -> jax.Array:
        """Shards a batch that every process holds; each passes on the part of its own devices."""
        return self._place(array, PartitionSpec("data"))

    def everywhere(self, array: np.ndarray) -> jax.Array:
        return self._place(array, PartitionSpec())

    def of_state(self, state: Any) -> Any:
        """Returns the shardings of parameters, optimizer state and keys."""
        return jax.tree.map_with_path(self._sharding, state)

    def _sharding(self, path: tuple, leaf: jax.Array) -> NamedSharding:
        spec: list[str | None] = [None] * leaf.ndim
        axis = {"fsdp": "data", "tensor": "model"}.get(self.name)
        if axis is not None and not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            # Kernels are (inputs, outputs): the second is sharded along its inputs, which are the
            # sharded outputs of the first.
            inputs = self.name == "tensor" and "second" in jax.tree_util.keystr(path)
            cut = 0 if inputs else leaf.ndim - 1
            if leaf.ndim > int(inputs) and leaf.shape[cut] % self.mesh.shape[axis] == 0:
                spec[cut] = axis
        return NamedSharding(self.mesh, PartitionSpec(*spec))

    def _place(self, array: np.ndarray, spec: PartitionSpec) -> jax.Array:
        sharding = NamedSharding(self.mesh, spec)
        return jax.make_array_from_callback(array.shape, sharding, lambda part: array[part])

    def __str__(self) -> str:
        sizes = " × ".join(f"{size} {axis}" for axis, size in self.mesh.shape.items())
        return f"layout {self.name} ({sizes})"
