"""Random programs: noise inside scan, while, cond, remat, vmap and derivatives, nested freely.

Every value is an integer times a power of two, and there are no reductions, so neither the order
of operations nor fusion changes a bit, and two backends must agree exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from hypothesis import strategies as st
from jax import lax

import flaxnoise
from flaxnoise import random

Step = Callable[[jax.Array, jax.Array], jax.Array]  # (key, x) -> y of x's shape


@dataclass(frozen=True)
class Node:
    """A step of a program, and the steps inside it."""

    name: str
    inside: tuple["Node", ...] = ()

    def __call__(self, key: jax.Array, x: jax.Array) -> jax.Array:
        """Runs the step."""
        if not self.inside:
            return (NOISES | PLAIN)[self.name](key, x)
        first, *others = self.inside
        return AROUND[self.name](key, x, first, *others)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(map(repr, self.inside))})" if self.inside else self.name


def _signs(key: jax.Array, x: jax.Array) -> jax.Array:
    """Returns the signs of normals, which are exact, as no normal is 0."""
    return x + jnp.sign(flaxnoise.gaussian_noise(key, jnp.zeros_like(x), 3.0))


def _masked_signs(key: jax.Array, x: jax.Array) -> jax.Array:
    stddev = jnp.full(x.shape, 2.0)
    return x + jnp.sign(flaxnoise.masked_gaussian_noise(key, jnp.zeros_like(x), 0.5, stddev))


def _rate_per_column(key: jax.Array, x: jax.Array) -> jax.Array:
    rates = jnp.resize(jnp.array([0.0, 0.5, 0.75, 1.0]), x.shape[-1:])
    return flaxnoise.dropout(key, x, rates)


# Scales are powers of two.
NOISES: dict[str, Step] = {
    "dropout": lambda key, x: flaxnoise.dropout(key, x, 0.5),
    "often dropped": lambda key, x: flaxnoise.dropout(key, x, 0.75),
    "shared": lambda key, x: flaxnoise.dropout(key, x, 0.5, broadcast_dims=-1),
    "by column": _rate_per_column,
    "salt and pepper": lambda key, x: flaxnoise.salt_and_pepper_noise(key, x, 0.5, -1.0, 2.0),
    "signs": _signs,
    "masked signs": _masked_signs,
    "mask": lambda key, x: jnp.where(random.keep_mask(key, x.shape, 0.3), x, -x),
    "words": lambda key, x: x + (random.bits(key, x.shape) >> 29).astype(x.dtype),
}
PLAIN: dict[str, Step] = {
    "double": lambda key, x: 2 * x + 1,
    "roll": lambda key, x: jnp.roll(x, 1, axis=-1),
    "relu": lambda key, x: jnp.maximum(x, -x / 2),
}


def _both(key: jax.Array, x: jax.Array, *steps: Step) -> jax.Array:
    """Applies two steps in sequence; x is still used at the end."""
    y = x
    for number, step in enumerate(steps):
        y = step(jax.random.fold_in(key, number), y)
    return jnp.where(y == 0, x, y)


def _scan(key: jax.Array, x: jax.Array, step: Step, *_: Step) -> jax.Array:
    last, ys = lax.scan(lambda x, key: (step(key, x), x), x, jax.random.split(key, 3))
    return jnp.where(last == 0, ys[1], last)


def _while(key: jax.Array, x: jax.Array, step: Step, *_: Step) -> jax.Array:
    def body(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        i, x = state
        return i + 1, step(jax.random.fold_in(key, i), x)

    # Only forward mode differentiates it: in reverse mode it is a constant.
    return lax.while_loop(lambda state: state[0] < 2, body, (0, lax.stop_gradient(x)))[1] + x


def _cond(key: jax.Array, x: jax.Array, step: Step, *others: Step) -> jax.Array:
    other = others[0] if others else lambda key, x: x
    return lax.cond(random.bits(key, ()) % 2 == 0, step, other, key, x)


def _vmap(key: jax.Array, x: jax.Array, step: Step, *_: Step) -> jax.Array:
    if x.ndim == 1:
        return step(key, x)
    return jax.vmap(step)(jax.random.split(key, len(x)), x)


def _vmap_one_key(key: jax.Array, x: jax.Array, step: Step, *_: Step) -> jax.Array:
    return step(key, x) if x.ndim == 1 else jax.vmap(lambda x: step(key, x), -1, -1)(x)


def _vjp(key: jax.Array, x: jax.Array, step: Step, *_: Step) -> jax.Array:
    y, pull = jax.vjp(lambda x: step(key, x), x)
    return pull(jnp.clip(y, -64, 64))[0]


def _jvp(key: jax.Array, x: jax.Array, step: Step, *_: Step) -> jax.Array:
    y, dy = jax.jvp(lambda x: step(key, x), (x,), (jnp.ones_like(x),))
    return jnp.where(dy == 0, y, dy)


def _custom_vjp(key: jax.Array, x: jax.Array, step: Step, *others: Step) -> jax.Array:
    """A custom_vjp whose cotangent passes through another noise."""
    backward = others[0] if others else step

    @jax.custom_vjp
    def run(key: jax.Array, x: jax.Array) -> jax.Array:
        return step(key, x)

    def pull(key: jax.Array, dy: jax.Array) -> tuple[None, jax.Array]:
        return None, backward(jax.random.fold_in(key, 7), dy)

    run.defvjp(lambda key, x: (run(key, x), key), pull)
    return run(key, x)


AROUND: dict[str, Callable[..., jax.Array]] = {
    "both": _both,
    "scan": _scan,
    "while": _while,
    "cond": _cond,
    "remat": lambda key, x, step, *_: _vjp(key, x, jax.checkpoint(step)),
    "jit": lambda key, x, step, *_: jax.jit(step)(key, x),
    "vmap": _vmap,
    "vmap of one key": _vmap_one_key,
    "vjp": _vjp,
    "jvp": _jvp,
    "custom_vjp": _custom_vjp,
}

_leaves = st.sampled_from([*NOISES, *PLAIN]).map(Node)


@st.composite
def programs(draw: st.DrawFn) -> Node:
    """Draws a sequence of two or three nests of up to three transforms."""

    def nest(depth: int, around: list[str]) -> Node:
        if depth == 0:
            return draw(_leaves)
        name = draw(st.sampled_from(around))
        count = 2 if name in ("both", "cond", "custom_vjp") else 1
        if name == "jvp":  # jax has no forward mode for custom_vjp
            around = [other for other in around if other != "custom_vjp"]
        return Node(name, (nest(depth - 1, around), *(draw(_leaves) for _ in range(count - 1))))

    depths = draw(st.lists(st.integers(1, 3), min_size=1, max_size=2))
    return Node(
        "both",
        (
            *(nest(depth, list(AROUND)) for depth in depths),
            Node(draw(st.sampled_from(list(NOISES)))),
        ),
    )
