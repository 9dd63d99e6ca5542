"""Fits the three polynomials of the normal map and measures the whole map in float32.

    LOG  L(f), f·L(f) = −2·log1p(f)     on [√½ − 1, √2 − 1)
    SIN  S(z), t·S(t²) = sin(π/4·t)     on [0, 1]
    COS  C(z),   C(t²) = cos(π/4·t)     on [0, 1]

Each fit is minimax in the resulting error of the normal. The minimax polynomial on a grid is the
limit of weighted least squares in which every weight is repeatedly multiplied by the current error
at its point (Lawson's iteration; Rice and Usow 1968). Coefficients are rounded to float32 one by
one, lowest degree first, and after each the remaining ones are fitted again to the residual:
rounding all of them at the end loses accuracy (Muller, "Elementary Functions", on polynomials with
machine-number coefficients). The lowest coefficient is the rounded value at 0, so that cos 0 is 1
and log1p(f)/f is accurate next to u = 1.

The degrees are the lowest that reach LIMIT. One degree less in LOG gives 5 ulp; more degrees gain
nothing, since what remains are rounding errors: in units of 2^-24, 1.9 of the radius, 2.1 of t·S,
½ of the product.

Usage: fit_polynomials.py [--check]   (--check measures the constants of flaxnoise.stream.variates)
"""

import argparse
from collections.abc import Callable

import numpy as np

DEGREES = {"LOG": 8, "SIN": 3, "COS": 3}
LIMIT = 4.1  # ulp, for the worst radius times the worst direction; random words reach 3.7
GRID = 1000
# Closer to 0 only the lowest coefficient matters, so these points have no weight for the others.
NEAR_0 = 0.05
MINUS_2_LN_2 = -2 * np.log(2)
SQRT_HALF_BITS = np.int32(0x3F3504F3)

Table = dict[str, tuple[float, ...]]
MultiplyAdd = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def targets() -> dict[str, tuple[np.ndarray, np.ndarray, float, np.ndarray]]:
    """Name → (points, values, value at 0, weight from an error to that of the normal)."""
    z = (1 - np.cos(np.pi * (np.arange(GRID) + 0.5) / GRID)) / 2
    f = np.sqrt(0.5) - 1 + (np.sqrt(2) - np.sqrt(0.5)) * z
    t = np.sqrt(z)
    minus_2_log = -2 * np.log1p(f)
    # f < 0 is worst for u just below 1, where −2 ln u is f·L alone; f > 0 comes with e ≤ −1.
    minus_2_log_u = np.where(f < 0, minus_2_log, minus_2_log - MINUS_2_LN_2)
    sin, cos = np.sin(np.pi / 4 * t), np.cos(np.pi / 4 * t)
    return {
        "LOG": (f, minus_2_log / f, -2.0, np.abs(f) / minus_2_log_u),
        "SIN": (z, sin / t, np.pi / 4, t / sin),
        "COS": (z, cos, 1.0, 1 / cos),
    }


def minimax(x: np.ndarray, y: np.ndarray, weight: np.ndarray, powers: range) -> np.ndarray:
    """Returns the coefficients of x^k, k in powers, that minimise max |weight·(polynomial − y)|."""
    columns = x[:, None] ** np.array(powers)
    columns, y = columns * weight[:, None], y * weight
    share = np.full_like(x, 1 / len(x))
    best, best_error = np.zeros(len(powers)), np.inf
    for _ in range(300):
        root = np.sqrt(share)
        coefficients = np.linalg.lstsq(columns * root[:, None], y * root, rcond=None)[0]
        error = np.abs(columns @ coefficients - y)
        if error.max() < best_error:
            best, best_error = coefficients, error.max()
        share *= error
        share /= share.sum()
    return best


def fit(
    x: np.ndarray, y: np.ndarray, value_at_0: float, weight: np.ndarray, degree: int
) -> tuple[float, ...]:
    """Returns minimax coefficients rounded to float32, lowest degree first."""
    weight = weight * np.where(np.abs(x) < NEAR_0, 0.05, 1)
    coefficients = [float(np.float32(value_at_0))]
    left = y - coefficients[0]
    for k in range(1, degree + 1):
        coefficients.append(float(np.float32(minimax(x, left, weight, range(k, degree + 1))[0])))
        left = left - coefficients[k] * x**k
    return tuple(coefficients)


def fit_all() -> Table:
    return {name: fit(*target, DEGREES[name]) for name, target in targets().items()}


def rounded(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Computes a·b + c in float32 with two roundings."""
    return a * b + c


def fused(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Computes a·b + c with one rounding: the product of two float32 is exact in float64."""
    return (a.astype(np.float64) * b + c).astype(np.float32)


def horner(x: np.ndarray, coefficients: tuple[float, ...], mad: MultiplyAdd) -> np.ndarray:
    y = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        y = mad(x, y, np.float32(coefficient))
    return y


def radii(u: np.ndarray, table: Table, mad: MultiplyAdd) -> np.ndarray:
    """Computes √(−2 ln u) as the stream does."""
    i = u.view(np.int32) - SQRT_HALF_BITS
    e = (i >> 23).astype(np.float32)
    f = ((i & 0x7FFFFF) + SQRT_HALF_BITS).view(np.float32) - np.float32(1)
    return np.sqrt(mad(e, np.float32(MINUS_2_LN_2), f * horner(f, table["LOG"], mad)))


def extremes(value: np.ndarray, exact: np.ndarray) -> list[np.ndarray]:
    """Returns for each mantissa interval the values with the most negative and positive error."""
    error = value / exact - 1
    interval = np.floor(np.frexp(exact)[0] * 1024)
    order = np.lexsort((error, interval))
    edges = np.flatnonzero(np.diff(interval[order]))
    lowest, highest = np.concatenate([[0], edges + 1]), np.concatenate([edges, [len(order) - 1]])
    return [order[lowest], order[highest]]


def worst_normal(table: Table, mad: MultiplyAdd, stride: int = 16) -> float:
    """Returns the largest error in ulp of radius times direction.

    There are too many pairs to try all: the worst radii and directions of each mantissa interval
    are searched separately, with the given stride, and then all pairs of those are tried.
    """
    binades = [np.arange(127 - k << 23, 128 - k << 23, stride) for k in (1, 2, 3, 4, 8, 16, 32)]
    close_to_1 = np.arange(0x3F800000 - (1 << 16), 0x3F800000)
    u = np.concatenate([*binades, close_to_1]).astype(np.int32).view(np.float32)
    t = (np.arange(0, 1 << 22, stride, dtype=np.float32) + np.float32(0.5)) * np.float32(2.0**-22)
    angle = np.pi / 4 * t.astype(np.float64)
    sin, cos = t * horner(t * t, table["SIN"], mad), horner(t * t, table["COS"], mad)

    radius, exact_radius = radii(u, table, mad), np.sqrt(-2 * np.log(u.astype(np.float64)))
    direction = np.concatenate([sin, cos])
    exact_direction = np.concatenate([np.sin(angle), np.cos(angle)])
    worst = 0.0
    for i, j in zip(
        extremes(radius, exact_radius), extremes(direction, exact_direction), strict=True
    ):
        exact = np.outer(exact_radius[i], exact_direction[j])
        error = np.outer(radius[i], direction[j]).astype(np.float64) - exact
        worst = max(worst, float(np.max(np.abs(error / np.spacing(exact.astype(np.float32))))))
    return worst


def polynomial_difference(fitted: Table, table: Table) -> float:
    """Returns the largest difference between two tables, as an error of the normal."""
    polyval = np.polynomial.polynomial.polyval
    return max(
        float(np.max(np.abs(weight * (polyval(x, fitted[name]) - polyval(x, table[name])))))
        for name, (x, _, _, weight) in targets().items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="measure the library's constants")
    table = fitted = fit_all()
    if parser.parse_args().check:
        from flaxnoise.stream import variates

        table = {name: getattr(variates, name) for name in DEGREES}
        print(f"difference from a new fit: {polynomial_difference(fitted, table):.1e}")
    for name, coefficients in table.items():
        print(f"{name} = {coefficients}")
        print(f"# {' '.join(value.hex() for value in coefficients)}")
    errors = {mad.__name__: worst_normal(table, mad) for mad in (rounded, fused)}
    print("largest error:", ", ".join(f"{error:.2f} ulp {how}" for how, error in errors.items()))
    if max(errors.values()) > LIMIT or polynomial_difference(fitted, table) > 2.0**-26:
        raise SystemExit("these are not the polynomials of the normal map")


if __name__ == "__main__":
    main()
