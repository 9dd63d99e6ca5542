"""Assertions about gradients, and about the residuals that differentiation stores."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxnoise.testing.assertion import chex_assertion
from flaxnoise.testing.comparison import as_bytes, assert_same_types, difference, is_inexact, report


@chex_assertion
def assert_stops_gradient(f: Callable[..., Any], *args: Any) -> None:
    """Asserts that the gradients of f are exactly 0 in all arguments.

    Args:
        f: a differentiable function of arrays or trees of arrays; its output may be a tree.
        *args: arguments of f; the floating and complex arrays among them are tested.

    Raises:
        AssertionError: some element of a gradient is not 0, or is NaN.
        ValueError: no argument or no output is differentiable.

    Example:
        >>> flaxnoise.testing.assert_stops_gradient(flaxnoise.stop_gradient, x)
    """
    owner = "assert_stops_gradient"
    found = [
        f"{path}: {_nonzero(gradient)}"
        for path, gradient in _gradients(owner, f, args).items()
        if np.any(gradient != 0)
    ]
    report("a gradient gets through.", found)


@chex_assertion
def assert_same_gradient(
    f: Callable[..., Any], g: Callable[..., Any], *args: Any, ulps: int = 0
) -> None:
    """Asserts that f and g have the same gradients in all floating arguments.

    Args:
        f: a differentiable function of arrays or trees of arrays.
        g: a function with outputs of the same structure, shapes and dtypes.
        *args: arguments of both.
        ulps: allowed difference, in units in the last place of the larger of two elements.

    Raises:
        AssertionError: gradients differ by more than ulps, or outputs in structure, shape or dtype.
        ValueError: no argument or no output is differentiable.

    Example:
        >>> shifted = lambda x: flaxnoise.gaussian_noise(key, x, stddev=0.1)
        >>> flaxnoise.testing.assert_same_gradient(shifted, lambda x: x, x)
    """
    owner = "assert_same_gradient"
    assert_same_types(jax.eval_shape(f, *args), jax.eval_shape(g, *args))
    one, other = _gradients(owner, f, args), _gradients(owner, g, args)
    found = [difference(path, one[path], other[path], ulps) for path in one]
    report("the gradients of f and g differ.", found)


@chex_assertion
def assert_no_noise_residuals(f: Callable[..., Any], *args: Any) -> None:
    """Asserts that differentiating f stores no noise for the backward pass, only keys.

    The residuals are the arrays in the function that jax.vjp(f, ...) returns. One that changes with
    the keys in args holds noise. f should be a single layer: in a network, later layers store
    activations, which depend on earlier noise.

    Args:
        f: a differentiable function of keys and arrays.
        *args: arguments of f: keys, and arrays that are large enough (dozens of elements) for two
            keys not to give the same noise by chance. Without a typed key, each uint32 array whose
            last dimension is 1, 2 or 4 counts as raw keys, since nothing tells it from one.

    Raises:
        AssertionError: a residual holds noise.
        ValueError: there is no key among args, or no argument or no output is differentiable.

    Example:
        >>> noisy = lambda key, x: flaxnoise.dropout(key, x, rate=0.5)
        >>> flaxnoise.testing.assert_no_noise_residuals(noisy, key, x)
    """
    owner = "assert_no_noise_residuals"
    leaves, tree = jax.tree.flatten(args)
    typed = any(map(_is_typed_key, leaves))
    is_key = _is_typed_key if typed else _is_raw_key
    keys = [leaf for leaf in leaves if is_key(leaf)]
    if not keys:
        raise ValueError(f"{owner}: there is no key among the arguments. Let f take it as one.")
    changed = tree.unflatten([_other_key(leaf) if is_key(leaf) else leaf for leaf in leaves])
    words = sum(_key_data(key).size for key in keys)
    found = []
    kept = zip(_residuals(owner, f, args), _residuals(owner, f, changed), strict=True)
    for one, other in kept:
        # Allowed: the words of keys and what is folded into them, at most four words per key.
        if one.dtype == jnp.uint32 and one.size <= 4 * words:
            continue
        if np.any(as_bytes(one) != as_bytes(other)):
            found.append(f"{one.dtype}[{','.join(map(str, one.shape))}] ({one.nbytes} bytes)")
    report("the backward pass is given noise.", found)


def _gradients(owner: str, f: Callable[..., Any], args: Any) -> dict[str, np.ndarray]:
    """Path → gradient of each floating argument, for output cotangents from 0.5 to 1.5."""
    outputs, pull, paths = _vjp(owner, f, args)
    cotangents = [jnp.linspace(0.5, 1.5, y.size).reshape(y.shape).astype(y.dtype) for y in outputs]
    return dict(zip(paths, map(np.asarray, pull(cotangents)), strict=True))


def _residuals(owner: str, f: Callable[..., Any], args: Any) -> list[jax.Array]:
    """The arrays that are stored for the backward pass."""
    return [leaf for leaf in jax.tree.leaves(_vjp(owner, f, args)[1]) if hasattr(leaf, "dtype")]


def _vjp(
    owner: str, f: Callable[..., Any], args: Any
) -> tuple[list[jax.Array], Callable[..., Any], list[str]]:
    """jax.vjp of floating outputs in floating arguments: outputs, pullback, paths of arguments."""
    named, tree = jax.tree_util.tree_flatten_with_path(args)
    leaves = [leaf for _, leaf in named]
    positions = [i for i, leaf in enumerate(leaves) if is_inexact(leaf)]

    def restricted(*values: jax.Array) -> list[jax.Array]:
        filled = dict(enumerate(leaves)) | dict(zip(positions, values, strict=True))
        outputs = f(*tree.unflatten([filled[i] for i in range(len(leaves))]))
        return [y for y in jax.tree.leaves(outputs) if is_inexact(y)]

    values = [jnp.asarray(leaves[i]) for i in positions]
    outputs, pull = jax.vjp(restricted, *values)
    if not (positions and outputs):
        what = "output" if positions else "argument"
        raise ValueError(f"{owner}: there is no floating {what} to differentiate.")
    return outputs, pull, [f"args{jax.tree_util.keystr(named[i][0])}" for i in positions]


def _nonzero(gradient: np.ndarray) -> str:
    places = np.argwhere(gradient != 0)
    first = tuple(int(i) for i in places[0])
    return (
        f"not 0 in {len(places)} of {gradient.size} elements; "
        f"first at {list(first)}: {gradient[first]!s}"
    )


def _is_typed_key(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)


def _is_raw_key(leaf: Any) -> bool:
    dtype, shape = getattr(leaf, "dtype", None), getattr(leaf, "shape", ())
    return dtype == jnp.uint32 and shape[-1:] in ((1,), (2,), (4,))


def _key_data(key: jax.Array) -> jax.Array:
    return jax.random.key_data(key) if _is_typed_key(key) else key


def _other_key(key: jax.Array) -> jax.Array:
    words = _key_data(key) ^ jnp.uint32(0x2545F491)
    if not _is_typed_key(key):
        return words
    return jax.random.wrap_key_data(words, impl=jax.random.key_impl(key))
