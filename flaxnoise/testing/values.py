"""Assertions about outputs: same noise, identity, no bias, same type, a single trace."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from flaxnoise.testing.assertion import chex_assertion
from flaxnoise.testing.comparison import as_bytes, assert_same_types, difference, leaves, report

_STANDARD_ERRORS = 6
_RANDOM_SIGNS = 6  # sums of errors that assert_unbiased also takes


@chex_assertion
def assert_same_noise(
    f: Callable[..., Any], g: Callable[..., Any], *args: Any, ulps: int = 0
) -> None:
    """Asserts that f and g return the same output, and so draw the same noise.

    Args:
        f: a function of a key and arrays, such as a layer.
        g: another function, such as that behind the layer.
        *args: arguments of both.
        ulps: allowed difference, in units in the last place of the larger of two elements. Between
            differently compiled programs normals may differ by 8, masks do not differ.

    Raises:
        AssertionError: outputs differ by more than ulps, or in structure, shape or dtype.

    Example:
        >>> layer = jax.jit(flaxnoise.dropout)
        >>> flaxnoise.testing.assert_same_noise(layer, flaxnoise.dropout, key, x, 0.5)
    """
    one, other = f(*args), g(*args)
    assert_same_types(one, other)
    pairs = zip(leaves(one, "output"), leaves(other, "output"), strict=True)
    found = [difference(path, np.asarray(a), np.asarray(b), ulps) for (path, a), (_, b) in pairs]
    report("f and g differ.", found)


@chex_assertion
def assert_identity(f: Callable[..., Any], x: Any) -> None:
    """Asserts that f(x) is x bit for bit, including the signs of zeros and NaN payloads.

    Args:
        f: a function of an array or tree of arrays, such as a layer in evaluation mode.
        x: the argument of f.

    Raises:
        AssertionError: f(x) differs from x in any bit, or in structure, shape or dtype.

    Example:
        >>> flaxnoise.testing.assert_identity(lambda x: flaxnoise.dropout(key, x, rate=0), x)
    """
    x = jax.tree.map(jnp.asarray, x)
    y = f(x)
    assert_same_types(x, y)
    found = [
        f"{path}: {np.sum(changed)} of {changed.size} bytes changed"
        for (path, a), (_, b) in zip(leaves(x, "x"), leaves(y, "x"), strict=True)
        if (changed := as_bytes(a) != as_bytes(b)).any()
    ]
    report("f(x) is not x.", found)


@chex_assertion
def assert_unbiased(
    f: Callable[[jax.Array, jax.Array], jax.Array],
    key: jax.Array,
    x: jax.Array,
    *,
    draws: int = 1024,
) -> None:
    """Asserts that the mean of f(key, x) over keys is x.

    Each draw gives eight numbers, the mean of (f(key, x) − x)·s over the elements for s = sign(x),
    s = 1 and six fixed arrays of random signs. The assertion fails if the mean of one of them over
    the draws is more than 6 standard errors from 0. An unbiased f fails by chance for one of 6·10^7
    keys, provided that over all draws hundreds of elements are dropped and hundreds are kept.
    Smaller biases pass; more draws or elements find them.

    Args:
        f: a function of a key and an array, which is vmapped over keys.
        key: the key from which those of the draws are split.
        x: finite real array that is not empty. In short dtypes it should have many different
            values, so that rounding errors average out.
        draws: number of keys, at least 2.

    Raises:
        ValueError: x is empty, or draws is below 2.
        AssertionError: the mean is further from 0, f(key, x) is not finite, or it differs from x in
            shape or dtype.

    Example:
        >>> halved = lambda key, x: flaxnoise.dropout(key, x, rate=0.5)
        >>> flaxnoise.testing.assert_unbiased(halved, key, x)
    """
    if jnp.size(x) == 0 or draws < 2:
        raise ValueError(
            "flaxnoise.testing.assert_unbiased: expected at least one element of x and two draws, "
            f"got {jnp.size(x)} and {draws}."
        )
    ys = jax.jit(jax.vmap(f, in_axes=(0, None)))(jax.random.split(key, draws), x)
    assert_same_types(x, ys[0])
    wide = np.asarray(x, np.float64)
    infinite = np.sum(~np.isfinite(np.asarray(ys, np.float64)))
    if infinite:
        raise AssertionError(
            f"f(key, x) is inf or NaN in {infinite} of {ys.size} elements over {draws} draws."
        )
    errors = (np.asarray(ys, np.float64) - wide).reshape(draws, -1)
    random = np.random.default_rng(0).choice([-1.0, 1.0], (_RANDOM_SIGNS, errors.shape[1]))
    signs = np.stack([np.sign(wide).ravel(), np.ones(errors.shape[1]), *random])
    names = ("·sign(x)", "", *["·s for random signs s"] * _RANDOM_SIGNS)
    numbers = errors @ signs.T / errors.shape[1]
    for name, own in zip(names, numbers.T, strict=True):
        mean, standard_error = own.mean(), own.std(ddof=1) / np.sqrt(draws)
        if not abs(mean) <= _STANDARD_ERRORS * standard_error:
            constant = standard_error <= 1e-9 * abs(mean)  # but for the rounding of the sums
            distance = np.inf if constant else abs(mean) / standard_error
            raise AssertionError(
                f"the mean of (f(key, x) − x){name} is {mean:.4g}, {distance:.1f} standard "
                f"errors from 0 over {draws} draws; {_STANDARD_ERRORS} are allowed."
            )


@chex_assertion
def assert_same_type(f: Callable[..., Any], x: Any) -> None:
    """Asserts that f(x) has x's structure, shapes and dtypes.

    Args:
        f: a function of an array or tree of arrays, such as a layer. It is only traced, not run.
        x: an array, or a tree of arrays or of jax.ShapeDtypeStruct.

    Raises:
        AssertionError: structure, shapes or dtypes differ.

    Example:
        >>> flaxnoise.testing.assert_same_type(lambda x: flaxnoise.dropout(key, x, rate=0.5), x)
    """
    assert_same_types(jax.eval_shape(f, x), x)


@chex_assertion
def assert_traced_once(f: Callable[..., Any], *calls: tuple[Any, ...]) -> None:
    """Asserts that a jitted f is traced once for all calls, so that new values do not recompile.

    For schedules: a rate that is static would be compiled into one program for each value. Resets
    all of chex's trace counters (``chex.clear_trace_counter``).

    Args:
        f: a function of arrays, which is jitted here.
        *calls: the arguments of each call, as tuples.

    Raises:
        AssertionError: f is traced again; with chex's own message.

    Example:
        >>> noisy = lambda x, rate: flaxnoise.dropout(key, x, rate)
        >>> flaxnoise.testing.assert_traced_once(noisy, (x, 0.1), (x, 0.2))
    """

    def traced(*args: Any) -> Any:
        return f(*args)

    chex.clear_trace_counter()
    once = jax.jit(chex.assert_max_traces(traced, n=1))
    for call in calls:
        once(*call)
