"""Nothing wrong is timed: results are tested against their law first.

Limits are six standard errors, so that a right result is refused once in 10^8 tests.
"""

import numpy as np

from bench.laws import Array, Backward, Blocks, Continuous, Discrete, Law

SIGMAS = 6.0
# Of probabilities, factors and values of the noise itself: a rate of 0.1 that is realised to
# 16 bits is off by up to 2^-17 of 1.
REALISED = 1e-5
EPSILON = {"float32": 2.0**-23, "bfloat16": 2.0**-7, "float16": 2.0**-10}


class WrongError(ArithmeticError):
    """What should be timed gives wrong numbers."""


def check(law: Law, dtype: str, x: Array, y: Array, dy: Array | None, dx: Array | None) -> None:
    """Tests a result, and its gradient where there is one.

    Args:
        law: what y must be.
        dtype: of the program; rounding to it is allowed for.
        x: the input.
        y: the result.
        dy: the cotangent of y.
        dx: the cotangent of x.

    Raises:
        WrongError: says what is wrong.
    """
    if y.shape != x.shape:
        raise WrongError(f"the shape is {y.shape}, not {x.shape}")
    x, y = (values.astype(np.float64) for values in (x, y))
    if not np.isfinite(y).all():
        raise WrongError("not all numbers are finite")
    if isinstance(law, Backward):
        if not (np.abs(y - x) <= EPSILON[dtype] * np.abs(x)).all():
            raise WrongError("y is not x")
        if dx is not None and dy is not None:
            check(law.law, dtype, dy, dx, None, None)
        return
    # Coefficients of other libraries are rounded to dtype as well, hence two roundings.
    tolerance = 2 * EPSILON[dtype] + 2 * REALISED
    slope = _TESTS[type(law)](law, x, y, tolerance)
    if dx is not None and dy is not None:
        expected = slope * dy.astype(np.float64)
        error = np.abs(dx.astype(np.float64) - expected)
        if not (error <= tolerance * (1 + np.abs(expected))).all():
            raise WrongError(f"the gradient is off by {np.nanmax(error):.3g}")


def _discrete(law: Discrete, x: Array, y: Array, tolerance: float) -> Array:
    distances = np.stack([np.abs(y - value) for value in law.values(x)])
    which = distances.argmin(0)
    error = distances.min(0)
    if not (error <= tolerance * (1 + np.abs(y))).all():
        raise WrongError(f"a value is off by {error.max():.3g}")
    slope = np.asarray(law.slopes)[which]
    if law.shared:
        first = tuple(slice(0, 1 if axis in law.shared else None) for axis in range(x.ndim))
        if (which != which[first]).any():
            raise WrongError(f"the noise differs along the dimensions {law.shared}")
        which = which[first]
    for value, probability in enumerate(law.probabilities):
        taken = (which == value).astype(np.float64).ravel()
        deviation = (probability * (1 - probability)) ** 0.5
        _near(f"the share of value {value}", taken.mean(), probability, deviation, taken.size)
        _uncorrelated((taken - probability) / max(deviation, 1e-9))
    return slope


def _continuous(law: Continuous, x: Array, y: Array, tolerance: float) -> Array:
    n = (y - law.shift(x)) / law.size(x)
    _near("the mean", n.mean(), 0.0, 1.0, n.size)
    _near("the variance", (n**2).mean(), 1.0, (law.fourth - 1) ** 0.5, n.size, tolerance**2)
    _uncorrelated(n.ravel())
    return law.slope(x, y)


def _blocks(law: Blocks, x: Array, y: Array, tolerance: float) -> Array:
    ratio = y / x
    kept = y != 0
    factor = ratio.max((0, 3), keepdims=True)
    if not (np.abs(ratio - factor) <= tolerance * factor)[kept].all():
        raise WrongError("what is kept differs in its factor")
    squares = np.lib.stride_tricks.sliding_window_view(~kept, (law.side, law.side), (1, 2))
    hit = squares.all((-2, -1))
    covered = np.zeros_like(kept)
    for row in range(law.side):
        for column in range(law.side):
            covered[:, row : row + hit.shape[1], column : column + hit.shape[2]] |= hit
    if (covered == kept).any():
        raise WrongError("what is dropped does not fill blocks")
    maps = ratio.mean((1, 2))  # each with noise of its own
    _near("the mean", maps.mean(), 1.0, float(maps.std()), maps.size)
    return ratio


_TESTS = {Discrete: _discrete, Continuous: _continuous, Blocks: _blocks}


def _near(
    what: str, value: float, expected: float, deviation: float, count: int, slack: float = 0.0
) -> None:
    if not abs(value - expected) <= SIGMAS * deviation / count**0.5 + REALISED + slack:
        raise WrongError(f"{what} is {value:.6g}, not {expected:.6g}")


def _uncorrelated(n: Array) -> None:
    """Of neighbours, and of elements as far apart as those that could share a word."""
    for lag in (1, 512, n.size // 2):
        pairs = n.size - lag
        if pairs > 64 and abs(np.dot(n[:pairs], n[lag:]) / pairs) > SIGMAS / pairs**0.5:
            raise WrongError(f"elements {lag} apart are correlated")
