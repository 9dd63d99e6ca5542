"""Saves the state of a training run with Orbax, and restores it onto any devices."""

from pathlib import Path
from typing import Any

import jax


class Checkpoints:
    """A folder of checkpoints; without a folder, nothing is saved."""

    def __init__(self, folder: Path | None, every: int):
        self._manager = None
        if folder is not None:
            import orbax.checkpoint as ocp  # imported here, as it takes a second

            options = ocp.CheckpointManagerOptions(
                save_interval_steps=every, max_to_keep=2, enable_async_checkpointing=False
            )
            self._manager = ocp.CheckpointManager(folder.absolute(), options=options)
            self._args = ocp.args

    def latest(self, state: Any) -> tuple[int, Any]:
        """Restores the last step and its state, sharded like ``state``; else (0, state)."""
        step = self._manager.latest_step() if self._manager else None
        if self._manager is None or step is None:
            return 0, state
        template = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
        )
        return step, self._manager.restore(step, args=self._args.StandardRestore(template))

    def save(self, step: int, state: Any) -> None:
        """Saves the state if the step is a multiple of the save interval."""
        if self._manager:
            self._manager.save(step, args=self._args.StandardSave(state))

    def close(self) -> None:
        if self._manager:
            self._manager.close()
