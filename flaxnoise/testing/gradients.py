"""What differentiation does to a function, and what it keeps."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxnoise.testing.assertion import chex_assertion
from flaxnoise.testing.comparison import as_bytes, assert_same_types, difference, is_inexact, report


@chex_assertion
def assert_stops_gradient(f: Callable[..., Any], *args: Any) -> None:
    """Asserts that nothing in args gets a gradient through f: every element of each is exactly 0.

    Args:
        f: a differentiable function of arrays or trees of arrays; its outputs may be a tree.
        *args: what f is called with; the floating and complex arrays among them are tested.

    Raises:
        AssertionError: some element's gradient is not 0, or is NaN.
        ValueError: no argument, or no output, can be differentiated.

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
    """Asserts that f and g have the same gradient in each floating argument, leaf by leaf.

    Args:
        f: a differentiable function of arrays or trees of arrays.
        g: another, with outputs of the same shapes.
        *args: what both are called with.
        ulps: allowed difference, in units in the last place of the larger of two elements.

    Raises:
        AssertionError: gradients differ by more than that, or outputs differ in shape.
        ValueError: no argument, or no output, can be differentiated.

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
    """Asserts that differentiating f keeps nothing random for the backward pass but keys.

    Kept is what jax.vjp(f, ...) holds; random is what changes when the keys among args do. f should
    be one layer: in a network, later layers rightly keep activations that earlier noise is part of.

    Args:
        f: a differentiable function of keys and arrays.
        *args: what f is called with: keys, typed or raw, and arrays large enough (dozens of
            elements) that two keys do not give the same noise by chance.

    Raises:
        AssertionError: an array that is kept holds noise.
        ValueError: there is no key among args, or nothing can be differentiated.

    Example:
        >>> noisy = lambda key, x: flaxnoise.dropout(key, x, rate=0.5)
        >>> flaxnoise.testing.assert_no_noise_residuals(noisy, key, x)
    """
    owner = "assert_no_noise_residuals"
    leaves, tree = jax.tree.flatten(args)
    keys = [leaf for leaf in leaves if _is_key(leaf)]
    if not keys:
        raise ValueError(f"{owner}: there is no key among the arguments. Let f take it as one.")
    changed = tree.unflatten([_other_key(leaf) if _is_key(leaf) else leaf for leaf in leaves])
    words = sum(_key_data(key).size for key in keys)
    found = []
    kept = zip(_residuals(owner, f, args), _residuals(owner, f, changed), strict=True)
    for one, other in kept:
        # Words of keys, and what was folded into them: at most four words to a key.
        if one.dtype == jnp.uint32 and one.size <= 4 * words:
            continue
        if np.any(as_bytes(one) != as_bytes(other)):
            found.append(f"{one.dtype}[{','.join(map(str, one.shape))}] ({one.nbytes} bytes)")
    report("the backward pass is given noise.", found)


def _gradients(owner: str, f: Callable[..., Any], args: Any) -> dict[str, np.ndarray]:
    """Path → cotangent of each floating argument, for a cotangent of ordinary numbers."""
    outputs, pull, paths = _vjp(owner, f, args)
    cotangents = [jnp.linspace(0.5, 1.5, y.size).reshape(y.shape).astype(y.dtype) for y in outputs]
    return dict(zip(paths, map(np.asarray, pull(cotangents)), strict=True))


def _residuals(owner: str, f: Callable[..., Any], args: Any) -> list[jax.Array]:
    """The arrays that the backward pass gets."""
    return [leaf for leaf in jax.tree.leaves(_vjp(owner, f, args)[1]) if hasattr(leaf, "dtype")]


def _vjp(
    owner: str, f: Callable[..., Any], args: Any
) -> tuple[list[jax.Array], Callable[..., Any], list[str]]:
    """jax.vjp of f's floating outputs in its floating arguments, with these arguments' paths."""
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


def _is_key(leaf: Any) -> bool:
    dtype, shape = getattr(leaf, "dtype", None), getattr(leaf, "shape", ())
    if dtype is None:
        return False
    return jnp.issubdtype(dtype, jax.dtypes.prng_key) or (
        dtype == jnp.uint32 and shape[-1:] in ((1,), (2,), (4,))
    )


def _key_data(key: jax.Array) -> jax.Array:
    return jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key


def _other_key(key: jax.Array) -> jax.Array:
    words = _key_data(key) ^ jnp.uint32(0x2545F491)
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return words
    return jax.random.wrap_key_data(words, impl=jax.random.key_impl(key))
