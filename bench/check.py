"""Compares results with their expectations, so that no wrong result is timed.

Statistics may be off by six standard errors, which refuses a right result in one of 5·10^8
comparisons.
"""

import numpy as np

from bench.expectations import (
    EXPECTATIONS,
    Array,
    Backward,
    Blocks,
    Continuous,
    Discrete,
    Expectation,
    Permutation,
)
from bench.measure import Setting, WrongError

SIGMAS = 6.0
# Allowed error of probabilities and factors: a rate in steps of 2^-16 is off by up to 2^-17.
REALISED = 1e-5
EPSILON = {"float32": 2.0**-23, "bfloat16": 2.0**-7, "float16": 2.0**-10}
PIECE = 1 << 18  # elements; of results larger than four pieces only four pieces are checked


def check(work: str, setting: Setting, results: tuple[Array, ...]) -> None:
    """Compares results, (y,) or (y, dx) for dy = x, with the expectation of their work.

    Raises:
        WrongError: a result does not meet the expectation; the message says how.
    """
    x = setting.x()
    y, *dx = results
    if y.shape != x.shape:
        raise WrongError(f"the shape is {y.shape}, not {x.shape}")
    if not all(np.isfinite(values).all() for values in results):
        raise WrongError("not all numbers are finite")
    expected = EXPECTATIONS[work]
    if x.size > 4 * PIECE and x.ndim < 3 and not isinstance(expected, Permutation):
        x, y, *dx = (_pieces(values) for values in (x, y, *dx))
    compare(expected, setting.dtype, x, y, x if dx else None, dx[0] if dx else None)


def compare(
    expected: Expectation, dtype: str, x: Array, y: Array, dy: Array | None, dx: Array | None
) -> None:
    """Compares y, and dx if there is one, with an expectation, up to rounding to dtype.

    Raises:
        WrongError: a result does not meet the expectation; the message says how.
    """
    x, y = (values.astype(np.float64) for values in (x, y))
    if isinstance(expected, Backward):
        if not (np.abs(y - x) <= EPSILON[dtype] * np.abs(x)).all():
            raise WrongError("y is not x")
        if dx is not None and dy is not None:
            compare(expected.cotangent, dtype, dy, dx, None, None)
        return
    tolerance = 2 * EPSILON[dtype] + 2 * REALISED  # coefficients may be rounded to dtype, too
    if isinstance(expected, Discrete):
        slope = _discrete(expected, x, y, tolerance)
    elif isinstance(expected, Continuous):
        slope = _continuous(expected, x, y, tolerance)
    elif isinstance(expected, Blocks):
        slope = _blocks(expected, x, y, tolerance)
    else:
        slope = _permuted(x, y, tolerance)
    if dx is not None and dy is not None:
        wanted = slope * dy.astype(np.float64)
        error = np.abs(dx.astype(np.float64) - wanted)
        if not (error <= tolerance * (1 + np.abs(wanted))).all():
            raise WrongError(f"the gradient is off by {np.nanmax(error):.3g}")


def _discrete(expected: Discrete, x: Array, y: Array, tolerance: float) -> Array:
    distances = np.stack([np.abs(y - value) for value in expected.values(x)])
    which = distances.argmin(0)
    error = distances.min(0)
    if not (error <= tolerance * (1 + np.abs(y))).all():
        raise WrongError(f"a value is off by {error.max():.3g}")
    slope = np.choose(which, [np.broadcast_to(slope, x.shape) for slope in expected.slopes(x)])
    if expected.shared:
        first = tuple(slice(0, 1 if axis in expected.shared else None) for axis in range(x.ndim))
        if (which != which[first]).any():
            raise WrongError(f"the noise differs along the dimensions {expected.shared}")
        which = which[first]
    for value, probability in enumerate(expected.probabilities):
        taken = (which == value).astype(np.float64).ravel()
        deviation = (probability * (1 - probability)) ** 0.5
        _near(f"the share of value {value}", taken.mean(), probability, deviation, taken.size)
        _uncorrelated((taken - probability) / max(deviation, 1e-9))
    return slope


def _continuous(expected: Continuous, x: Array, y: Array, tolerance: float) -> Array:
    n = (y - expected.shift(x)) / expected.size(x)
    _near("the mean", n.mean(), 0.0, 1.0, n.size)
    _near("the variance", (n**2).mean(), 1.0, (expected.fourth - 1) ** 0.5, n.size, tolerance**2)
    _uncorrelated(n.ravel())
    return expected.slope(x, y)


def _blocks(expected: Blocks, x: Array, y: Array, tolerance: float) -> Array:
    ratio = y / x
    kept = y != 0
    factor = ratio.max((0, 3), keepdims=True)
    if not (np.abs(ratio - factor) <= tolerance * factor)[kept].all():
        raise WrongError("the factor of kept elements is not the same")
    side = expected.side
    squares = np.lib.stride_tricks.sliding_window_view(~kept, (side, side), (1, 2))
    hit = squares.all((-2, -1))
    height, width = (size - side + 1 for size in y.shape[1:3])
    covered = np.zeros_like(kept)
    for row in range(side):
        for column in range(side):
            covered[:, row : row + height, column : column + width] |= hit
    if (covered == kept).any():
        raise WrongError("dropped elements do not fill blocks")
    maps = ratio.mean((1, 2))  # independent: each map has its own noise
    _near("the mean", maps.mean(), 1.0, float(maps.std()), maps.size)
    return ratio


def _permuted(x: Array, y: Array, tolerance: float) -> Array:
    if not (np.abs(np.sort(y, 0) - x) <= tolerance * x).all():
        raise WrongError("the elements are not those of x")
    # In a random permutation, neighbours and positions are uncorrelated.
    order = np.argsort(np.argsort(y.reshape(len(y), -1)[:, 0], kind="stable"), kind="stable")
    centred = (order - order.mean()) / order.std()
    _uncorrelated(centred)
    place = np.linspace(-1, 1, len(y)) * 3**0.5
    _near("the correlation with the position", float((centred * place).mean()), 0, 1, len(y))
    return 0 * x


def _near(
    what: str, value: float, expected: float, deviation: float, count: int, slack: float = 0.0
) -> None:
    if not abs(value - expected) <= SIGMAS * deviation / count**0.5 + REALISED + slack:
        raise WrongError(f"{what} is {value:.6g}, not {expected:.6g}")


def _uncorrelated(n: Array) -> None:
    """Checks neighbours, the two elements that share a random word, and the two halves."""
    for lag in (1, 512, n.size // 2):
        pairs = n.size - lag
        if pairs > 64 and abs(np.dot(n[:pairs], n[lag:]) / pairs) > SIGMAS / pairs**0.5:
            raise WrongError(f"elements {lag} apart are correlated")


def _pieces(values: Array) -> Array:
    flat = values.ravel()
    starts = np.linspace(0, flat.size - PIECE, 4).astype(int)
    return np.concatenate([flat[start : start + PIECE] for start in starts])
