"""y = x·(a + b·n) + (c + d·n) in NumPy, and the error that a backend may have.

Exact bit for bit are n of the kinds that integers decide, and every element without an addition
after a multiplication, which a compiler may fuse. Where the factor is exactly 0, x is ignored;
where the offset is 0, nothing is added; where the factor is also 1, the result is x itself.
Everything else has the error of the normals and of a few roundings. A subnormal number may be
flushed to a zero of its sign, as in XLA's threads, except where the result is x itself.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import reference
from closeness import FLOAT32_ULP, NOISE_ULPS, bits, wide

Arrays = Mapping[str, np.ndarray]
DROPPING = ("keep", "masked_normal")  # the kinds with a threshold
APPROXIMATE = ("normal", "masked_normal", "laplace")
# Ulps of the terms: 2 if sums and products are rounded separately, 1 if fused.
_ROUNDINGS = 3


class Expected(NamedTuple):
    """The expected elements; complex numbers are pairs in a last dimension.

    Attributes:
        value: the expected value, in the result's dtype.
        allowed: the largest error; 0 where the result is exact.
        same: where the result is x itself, including NaN payloads.
        flushed: where a zero of the same sign is right, too.
        undecided: a subnormal x times an infinite factor, for which nothing is promised.
    """

    value: np.ndarray
    allowed: NDArray[np.float64]
    same: NDArray[np.bool_]
    flushed: NDArray[np.bool_]
    undecided: NDArray[np.bool_]


def assert_conforms(actual: np.ndarray, expected: Expected) -> None:
    """Fails at the first element that differs by more than is allowed."""
    wanted = expected.value
    if np.iscomplexobj(actual):
        actual = np.stack([actual.real, actual.imag], -1)
    assert (actual.shape, actual.dtype) == (wanted.shape, wanted.dtype)
    same_bits = bits(actual) == bits(wanted)
    if wanted.dtype in (np.bool_, np.uint32):
        fine = same_bits
    else:
        actual, wanted = wide(actual), wide(wanted)
        with np.errstate(invalid="ignore"):
            close = (actual == wanted) | (abs(actual - wanted) <= expected.allowed)
        fine = np.where(expected.allowed > 0, close, same_bits)
        fine |= np.isnan(actual) & np.isnan(wanted) & ~expected.same
        fine |= expected.flushed & (actual == 0) & (np.signbit(actual) == np.signbit(wanted))
        fine |= expected.undecided
    if not np.all(fine):
        place = tuple(int(i) for i in np.argwhere(~fine)[0])
        raise AssertionError(
            f"{np.sum(~fine)} of {fine.size} elements are wrong; at {place}: {actual[place]!r}, "
            f"not {wanted[place]!r} within {expected.allowed[place]:.3g}"
        )


def affine(
    operands: Arrays,
    *,
    kind: str,
    shape: Sequence[int],
    global_shape: Sequence[int] | None,
    dtype: Any,
) -> Expected:
    """Evaluates the formula on operands of the primitive, with their leading batch dimensions."""
    n = noise(operands, kind, shape, global_shape)
    coefficients = {name: operands[name] for name in "abcd" if name in operands}
    with np.errstate(all="ignore"):
        if not coefficients:
            return _noise_alone(n, kind, dtype)
        x = operands.get("x")
        out = np.broadcast_shapes(n.shape, *(v.shape for k, v in operands.items() if k in "xabcd"))
        if x is None or not np.iscomplexobj(x):
            return _combined(n, x, coefficients, kind, dtype, out)
        parts = [_combined(n, v, coefficients, kind, v.dtype, out) for v in (x.real, x.imag)]
        return Expected(*(np.stack(pair, -1) for pair in zip(*parts, strict=True)))


def noise(
    operands: Arrays, kind: str, shape: Sequence[int], global_shape: Sequence[int] | None
) -> np.ndarray:
    """Returns n: bool for keep, uint32 for bits, float32 for uniforms, else float64."""
    key, start = operands["key"], operands.get("start", np.zeros(2, np.uint32))
    batch = np.broadcast_shapes(key.shape[:-1], start.shape[:-1])
    keys, starts = np.broadcast_to(key, (*batch, 4)), np.broadcast_to(start, (*batch, 2))
    local = index(shape, global_shape or shape)

    def drawn(function: Any) -> np.ndarray:
        found = []
        for place in np.ndindex(batch):
            low, high = (np.uint64(word) for word in starts[place])
            words = tuple(int(word) for word in keys[place])
            found.append(function(words, (low | high << np.uint64(32)) + local))
        return np.reshape(found, (*batch, *shape))

    if kind not in DROPPING:
        return drawn(getattr(reference, kind))
    kept = drawn(reference.halves) >> np.uint32(1) >= operands["threshold"]
    return kept if kind == "keep" else np.where(kept, 0.0, drawn(reference.normal))


def index(shape: Sequence[int], global_shape: Sequence[int]) -> NDArray[np.uint64]:
    """Returns the row-major global indices of a box, relative to its first element."""
    i = np.zeros(shape, np.uint64)
    for axis, size in enumerate(shape):
        steps = np.arange(size, dtype=np.uint64) * np.uint64(math.prod(global_shape[axis + 1 :]))
        i = i + steps.reshape([size if other == axis else 1 for other in range(len(shape))])
    return i


def _noise_alone(n: np.ndarray, kind: str, dtype: Any) -> Expected:
    no = np.zeros(n.shape, np.bool_)
    allowed = np.zeros(n.shape)
    if kind in APPROXIMATE:
        allowed = NOISE_ULPS * FLOAT32_ULP * abs(n) + _rounding(n, dtype, np.dtype(np.float32))
    return Expected(n.astype(dtype), allowed, no, no, no)


class _Term(NamedTuple):
    """constant + slope·n: a factor or an offset.

    Attributes:
        value: the value, rounded after each operation.
        size: the sum of the magnitudes of the two terms.
        free: where a compiler may round differently.
        noisy: where it has the error of a normal.
    """

    value: np.ndarray
    size: np.ndarray
    free: np.ndarray
    noisy: np.ndarray


def _term(coefficients: Arrays, names: str, n: np.ndarray, kind: str) -> _Term | None:
    constant, slope = (coefficients.get(name) for name in names)
    if constant is None and slope is None:
        return None
    no = np.False_
    if kind == "keep":  # n selects: where it is 0, even an infinite slope is ignored
        zero = np.zeros_like(constant if slope is None else slope)
        constant, slope = (zero if value is None else value for value in (constant, slope))
        value = np.where(n, constant + slope, constant)
        return _Term(value, abs(value), no, no)
    if slope is None:
        return _Term(constant, abs(constant), no, no)
    step = slope * n.astype(slope.dtype)
    noisy = (slope != 0) & (n != 0) & (kind in APPROXIMATE)
    if constant is None:
        return _Term(step, abs(step), no, noisy)
    value = constant + step
    return _Term(value, abs(constant) + abs(step), (constant != 0) & (step != 0), noisy)


def _combined(
    n: np.ndarray,
    x: np.ndarray | None,
    coefficients: Arrays,
    kind: str,
    dtype: Any,
    out: tuple[int, ...],
) -> Expected:
    precision = next(iter(coefficients.values())).dtype
    factor, offset = (_term(coefficients, names, n, kind) for names in ("ab", "cd"))
    none = np.zeros((), precision)
    nothing = _Term(none, none, np.False_, np.False_)
    offset = offset or nothing
    if x is None or factor is None:
        value, same, undecided = offset.value, np.False_, np.False_
        size, noisy = offset.size, offset.noisy
        # Where the term is only 0·n, its sign may or may not be that of n.
        free = offset.free | noisy | (("c" not in coefficients) & (value == 0))
        parts = [value]
    else:
        own = x.astype(precision)
        dropped, added = factor.value == 0, offset.value != 0
        product = np.where(dropped, none, own * factor.value)
        value = np.where(added, product + offset.value, product)
        parts = [own, product, value]
        # Only where the factor is exactly 0, not where n happens to cancel; likewise for 1.
        same = (factor.value == 1) & ~added & ~factor.noisy & ~factor.free & (x.dtype == dtype)
        fused = added & ~dropped
        noisy = (factor.noisy & ~dropped) | (offset.noisy & added)
        free = (factor.free & ~dropped) | (offset.free & added) | noisy | fused
        size = np.where(dropped, none, abs(own) * factor.size)
        size = size + np.where(added, offset.size, none)
        undecided = _is_subnormal(own) & ~np.isfinite(factor.value)
    noise_ulps = NOISE_ULPS * FLOAT32_ULP * np.asarray(noisy)
    info = np.finfo(precision)
    allowed = (_ROUNDINGS * float(info.eps) + noise_ulps) * size + float(info.tiny)
    allowed = np.where(free & ~same, allowed + _rounding(value, dtype, precision), 0)
    flushed = functools.reduce(np.logical_or, map(_is_subnormal, parts)) & ~same
    result = value.astype(dtype)
    if x is not None and x.dtype == result.dtype:
        result = np.where(same, x, result)
    return Expected(
        *(np.broadcast_to(part, out) for part in (result, allowed, same, flushed, undecided))
    )


def _is_subnormal(value: np.ndarray) -> np.ndarray:
    return (value != 0) & (abs(value) < np.finfo(value.dtype).tiny)


def _rounding(value: np.ndarray, dtype: Any, precision: np.dtype) -> np.ndarray:
    """Returns an ulp of the result's dtype, if narrower than the precision: both are rounded."""
    info = jnp.finfo(dtype)
    if np.dtype(dtype) == precision:
        return np.zeros(np.shape(value))
    ulp = abs(np.asarray(value, np.float64)) * float(info.eps)
    return np.maximum(ulp, float(info.smallest_subnormal))
