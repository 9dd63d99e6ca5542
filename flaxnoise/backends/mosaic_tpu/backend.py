"""The mosaic_tpu backend: a Pallas kernel for TPUs, through Mosaic.

The kernel computes the formula if coefficients and threshold are one number for each example of
the batch and x has n's shape (``Call.is_by_rows``). Otherwise it only draws n, and XLA applies the
formula to it.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from flaxnoise.backends.contract import COEFFICIENTS, WORDS, Backend, Call, Operands
from flaxnoise.backends.mosaic_tpu.attention.kernel import TpuAttention
from flaxnoise.backends.mosaic_tpu.grid import Grid, grids_of
from flaxnoise.backends.xla import elementwise
from flaxnoise.backends.xla.combine import apply_to_noise
from flaxnoise.stream.index import CHUNK
from flaxnoise.stream.kinds import KINDS

_FLOATS = (jnp.float32, jnp.bfloat16, jnp.float16)


@dataclasses.dataclass(frozen=True)
class MosaicTpu(Backend):
    """The kernel.

    Attributes:
        interpret: as in pallas_call; runs the kernel on any platform.
    """

    interpret: Any = False
    platforms: tuple[str, ...] = ("tpu",)

    def refuses(self, call: Call) -> str | None:
        """As Backend.refuses."""
        floats = [call.types[name].dtype for name in ("x", *COEFFICIENTS) if name in call.types]
        if floats or call.kind.dtype == jnp.float32:
            floats.append(call.dtype)
        others = [jnp.dtype(own).name for own in floats if own not in _FLOATS]
        if others:
            return f"its kernel has float32, bfloat16 and float16, not {others[0]}."
        if not grids_of(call.shape, call.global_shape, call.wide):
            return "the rows of the shard do not follow one another in the global array."
        return None

    def is_faster(self, call: Call) -> bool:
        """As Backend.is_faster.

        Costs in static bundles per 1024 float32 elements on v5e (`python -m bench aot`; compiled,
        not run):

        - A mask takes 13 to 30 bundles in the kernel, and 98 in the xla backend, which computes a
          block of Philox for every element.
        - One more pass through memory, for lack of fusion, and copies of rows that do not fill
          their tiles take less than 30 together. Dividing few long rows into chunks takes no more.
        - Reshaping rows whose length is not a multiple of 1024 into chunks takes XLA 130 to 440, so
          such calls stay with xla.
        - Each example takes at least the time of 32 rows and a grid step, so the kernel is chosen
          from 16 chunks of 1024 elements on.
        """
        grid = grids_of(call.shape, call.global_shape, call.wide)[0]
        row = call.shape[-1] if call.shape else 0
        as_rows = bool(call.shape) and (grid.columns == row or row % CHUNK == 0)
        return as_rows and grid.is_worth_it and call.size >= 16 * CHUNK

    def attention(self) -> TpuAttention:
        """As Backend.attention."""
        return TpuAttention(self.interpret)

    def run(self, call: Call, operands: Operands) -> jax.Array:
        """As Backend.run."""

        def on_grid(grid: Grid, own: Operands) -> jax.Array:
            return jnp.broadcast_to(_aligned(call, own, grid, self.interpret), call.result)

        def elsewhere(own: Operands) -> jax.Array:
            return jnp.broadcast_to(elementwise.affine(call, own), call.result)

        form: Callable[[Operands], jax.Array] = elsewhere
        for grid in reversed(grids_of(call.shape, call.global_shape, call.wide)):
            aligned = functools.partial(on_grid, grid)
            form = functools.partial(_where_aligned, aligned, form, grid.alignment)
        return form(operands)


def _where_aligned(
    form: Callable[[Operands], jax.Array],
    other: Callable[[Operands], jax.Array],
    alignment: int,
    operands: Operands,
) -> jax.Array:
    """Runs ``form`` if all examples start at multiples of the alignment, else ``other``."""
    start = operands.get("start")
    if start is None:
        return form(operands)
    return lax.cond(jnp.all(start[..., 0] % alignment == 0), form, other, dict(operands))


def _aligned(call: Call, operands: Operands, grid: Grid, interpret: Any) -> jax.Array:
    """The formula, for examples that start at multiples of the grid's alignment."""
    run = functools.partial(_run_kernel, grid=grid, interpret=interpret)
    with jax.enable_x64(False):
        if call.coefficients and call.is_by_rows:
            return run(call, operands)
        own = {name: v for name, v in operands.items() if name in (*WORDS, "threshold")}
        if call.is_number("threshold"):
            n = run(_noise_of(call, call.kind.name, own), own)
        else:
            threshold = own.pop("threshold")
            halves = run(_noise_of(call, "halves", own), own)
            n = KINDS["keep"].map(halves, threshold)
            if call.kind.where_dropped is not None:
                others = run(_noise_of(call, call.kind.where_dropped, own), own)
                n = jnp.where(n, jnp.float32(0), others)
    return apply_to_noise(n, call, operands)


def _noise_of(call: Call, kind: str, operands: Operands) -> Call:
    row = KINDS[kind]
    return call.on(operands, kind=row, dtype=jnp.dtype(row.dtype))


def _run_kernel(call: Call, operands: Operands, *, grid: Grid, interpret: Any) -> jax.Array:
    """Runs the kernel, on x and operands that are one number for each example."""
    from flaxnoise.backends.mosaic_tpu import kernel  # here, as importing Pallas is slow

    batch, rank = call.batch, call.batch_rank
    examples, size = math.prod(batch), call.size
    if examples * size == 0:
        return jnp.zeros((*batch, *call.shape), call.dtype)

    def scalar(value: jax.Array) -> jax.Array:
        value = value.reshape(value.shape[:rank])
        return jnp.broadcast_to(value, batch).reshape(examples, 1, 1)

    none = jnp.zeros((1,) * rank, jnp.uint32)
    words = [operands["key"][..., i] for i in range(4)]
    words += [operands["start"][..., i] if "start" in operands else none for i in range(2)]
    words.append(operands.get("threshold", none))

    x = operands["x"] if call.has_x else None
    if x is not None:
        each = batch if x.shape[:rank] != (1,) * rank else x.shape[:rank]
        x = jnp.broadcast_to(x, (*each, *call.shape)).reshape(-1, size)
        x = _in_rows(x.astype(_stored(x.dtype)), grid)
    y = kernel.call(
        jnp.concatenate([scalar(word) for word in words], axis=-1),
        {name: scalar(operands[name]) for name in call.coefficients},
        x,
        kind=call.kind,
        grid=grid,
        dtype=_stored(call.dtype),
        interpret=interpret,
    )
    return y.reshape(examples, -1)[:, :size].reshape(*batch, *call.shape).astype(call.dtype)


def _in_rows(x: jax.Array, grid: Grid) -> jax.Array:
    """[examples, size] → [examples, rows, columns], padded with zeros at the end."""
    missing = grid.rows * grid.columns - x.shape[1]
    padded = jnp.pad(x, ((0, 0), (0, missing))) if missing else x
    return padded.reshape(-1, grid.rows, grid.columns)


def _stored(dtype: jax.typing.DTypeLike) -> jax.typing.DTypeLike:
    """The dtype in which the kernel reads or writes; Mosaic cannot load float16 or store bool."""
    return {jnp.dtype(jnp.float16): jnp.float32, jnp.dtype(jnp.bool_): jnp.int32}.get(
        jnp.dtype(dtype), dtype
    )
