"""What a function gives: the same noise, x itself, x in the mean, arrays of x's type, one trace."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from flaxnoise.testing.assertion import chex_assertion
from flaxnoise.testing.comparison import as_bytes, assert_same_types, difference, leaves, report

_STANDARD_ERRORS = 6


@chex_assertion
def assert_same_noise(
    f: Callable[..., Any], g: Callable[..., Any], *args: Any, ulps: int = 0
) -> None:
    """Asserts that f and g give the same output, and so have drawn the same noise.

    Args:
        f: a function of a key and arrays, such as a layer.
        g: another, such as the function behind the layer.
        *args: what both are called with.
        ulps: allowed difference, in units in the last place of the larger of two elements; normals
            of differently compiled programs may be 8 apart, masks none.

    Raises:
        AssertionError: outputs differ by more than that, or in structure, shape or dtype.

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
    """Asserts that f(x) is x, bit for bit: signs of zeros and NaN included.

    Args:
        f: a function of one array or tree of arrays, such as a layer in evaluation.
        x: what f is called with.

    Raises:
        AssertionError: f(x) differs from x in a bit, or in structure, shape or dtype.

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

    Each draw gives one number, the mean over the elements of (f(key, x) − x)·sign(x); the mean of
    these numbers may be 6 of its standard errors from 0. By chance an unbiased f fails once in
    5·10^8 keys, as long as all draws together have some hundred elements of each fate (dropped,
    kept). A smaller bias passes: what is to be found decides how many draws and elements it takes.

    Args:
        f: a function of a key and an array, that can be vmapped over keys.
        key: the draws' keys are split from it.
        x: finite real array; of many different values, or the roundings of a short dtype do not
            average out.
        draws: how many keys.

    Raises:
        AssertionError: the mean is further away, or not finite, or f(key, x) has not x's shape.

    Example:
        >>> halved = lambda key, x: flaxnoise.dropout(key, x, rate=0.5)
        >>> flaxnoise.testing.assert_unbiased(halved, key, x)
    """
    ys = jax.jit(jax.vmap(f, in_axes=(0, None)))(jax.random.split(key, draws), x)
    assert_same_types(x, ys[0])
    wide = np.asarray(x, np.float64)
    infinite = np.sum(~np.isfinite(np.asarray(ys, np.float64)))
    if infinite:
        raise AssertionError(
            f"f(key, x) is inf or NaN in {infinite} of {ys.size} elements over {draws} draws."
        )
    errors = (np.asarray(ys, np.float64) - wide) * np.sign(wide)
    numbers = errors.reshape(draws, -1).mean(axis=1)
    mean, standard_error = numbers.mean(), numbers.std(ddof=1) / np.sqrt(draws)
    if not abs(mean) <= _STANDARD_ERRORS * standard_error:
        distance = abs(mean) / standard_error if standard_error > 0 else np.inf
        raise AssertionError(
            f"the mean of (f(key, x) − x)·sign(x) is {mean:.4g}, {distance:.1f} standard "
            f"errors from 0 over {draws} draws; {_STANDARD_ERRORS} are allowed."
        )


@chex_assertion
def assert_same_type(f: Callable[..., Any], x: Any) -> None:
    """Asserts that f(x) has x's structure, shapes and dtypes.

    Args:
        f: a function of one array or tree of arrays, such as a layer. It is not run, only traced.
        x: an array or a tree of arrays, or of jax.ShapeDtypeStruct.

    Raises:
        AssertionError: a shape or dtype differs, or the structure.

    Example:
        >>> flaxnoise.testing.assert_same_type(lambda x: flaxnoise.dropout(key, x, rate=0.5), x)
    """
    assert_same_types(jax.eval_shape(f, x), x)


@chex_assertion
def assert_traced_once(f: Callable[..., Any], *calls: tuple[Any, ...]) -> None:
    """Asserts that a jitted f is traced once for all calls: no argument is compiled in.

    For schedules: a rate that is a Python number in the program gives one program for each value.

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
