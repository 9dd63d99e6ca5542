"""The suite attention: time and memory against the length, with and without dropout, and a model.

The first 64 rows of the first head are compared with softmax, dropout and a weighted sum in
float64. The mask of other libraries is not known: their result must have the mean of attention
without dropout and the variance that the rate implies.
"""

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import flaxnoise
from bench.contenders import DEFAULT_KEY, KEYS
from bench.expectations import RATE
from bench.measure import Contender, Program, Record, Row, Setting, WrongError
from bench.programs import blocking, compiled, load

# Length → at most how many samples: a call of those that hold the weights takes seconds.
LENGTHS = {512: None, 1024: None, 2048: None, 4096: 4, 8192: 2}
HEADS, SIZE = 4, 64
ROWS = 64  # how many are checked
LAYERS = 12  # of the program whose compilation is timed
TOLERANCE = {"float32": 1e-4, "bfloat16": 3e-2}  # of sums of up to 8192 weights, relative to 1
WITH, WITHOUT = "attention with dropout", "attention"
NAIVE = "attention_dropout"  # the variant that holds the weights

Arrays = tuple[np.ndarray, ...]
Function = Callable[..., jax.Array]


def flax_attention(key: jax.Array, q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    return load("flax.linen").dot_product_attention(
        q, k, v, dropout_rng=key, dropout_rate=RATE, broadcast_dropout=False
    )


def naive(key: jax.Array, q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Forms the weights, and drops them by flaxnoise.attention_dropout."""
    scores = jnp.einsum("btnd,bsnd->bnts", q / SIZE**0.5, k, preferred_element_type=jnp.float32)
    weights = flaxnoise.attention_dropout(key, jax.nn.softmax(scores).astype(v.dtype), RATE)
    return jnp.einsum("bnts,bsnd->btnd", weights, v)


def ours(rate: float) -> Function:
    return lambda key, q, k, v: flaxnoise.dot_product_attention(key, q, k, v, rate)


def jax_attention(key: jax.Array, q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    return jax.nn.dot_product_attention(q, k, v)


FUNCTIONS: dict[tuple[str, str, str], Function] = {
    (WITH, "flaxnoise", "cpu"): ours(RATE),
    (WITHOUT, "flaxnoise", "cpu"): ours(0.0),
    (WITH, "flaxnoise", NAIVE): naive,
    (WITH, "flax.linen", DEFAULT_KEY): flax_attention,
    (WITHOUT, "jax.nn", ""): jax_attention,
}


def rows(quick: bool, only: str) -> Iterator[Row]:
    """Yields the rows of the suite attention."""
    found = [contender(*name) for name in FUNCTIONS] + [torch_contender(RATE), torch_contender(0)]
    found = [own for own in found if only in own.work]
    for length, most in [*LENGTHS.items()][: 2 if quick else None]:
        for direction in ("forward", "gradient"):
            if length < max(LENGTHS) or direction == "gradient":
                setting = Setting((1, length, HEADS, SIZE), direction=direction)
                yield Row(setting, found, most)
    if quick:
        return
    for direction in ("forward", "gradient"):
        yield Row(Setting((1, 2048, HEADS, SIZE), "bfloat16", direction), found)
    work = f"{LAYERS} layers of attention"
    if only in work:
        names = [name for name in FUNCTIONS if name[0] == WITH and name[2] != NAIVE]
        yield Row(
            Setting((1, 512, HEADS, SIZE), direction="compile"),
            [compile_contender(work, *name) for name in names],
            most=5,
        )
    if only in "transformer on text":
        from bench import models

        others = (("flax.linen", DEFAULT_KEY), ("flaxnoise", "replace_dropout"))
        yield models.row(models.words(2, 1024), *others)._replace(most=7)


@functools.lru_cache(maxsize=2)
def inputs(setting: Setting) -> Arrays:
    """Returns query, key, value and dy as float32 arrays whose values are exact in bfloat16."""
    generator = np.random.default_rng(0)
    drawn = (generator.standard_normal(setting.shape, np.float32) for _ in range(4))
    return tuple(np.asarray(jnp.asarray(x, jnp.bfloat16), np.float32) for x in drawn)


def contender(work: str, library: str, variant: str) -> Contender:
    function = FUNCTIONS[work, library, variant]

    def build(setting: Setting) -> Program:
        key = KEYS[DEFAULT_KEY]()
        arrays = [jnp.asarray(x, setting.dtype) for x in inputs(setting)]
        called, arguments = function, (key, *arrays[:3])
        if setting.direction == "gradient":
            called, arguments = with_gradients(function), (key, *arrays)
        facts: Record = {}
        run = functools.partial(compiled(called, arguments, facts), *arguments)

        def check_results() -> None:
            found = [np.asarray(x.astype(jnp.float32)) for x in jax.tree.leaves(run())]
            mask = None
            if work == WITH and library == "flaxnoise":
                shape = (ROWS, setting.shape[1])
                mask = np.asarray(flaxnoise.random.keep_mask(key, shape, RATE))
            check(work, setting, found, mask)

        return Program(blocking(run), check_results, facts=facts)

    return Contender(work, library, variant, build)


def with_gradients(function: Function) -> Callable[..., Any]:
    """(key, q, k, v, dy) -> (y, dq, dk, dv)."""

    def both(key: jax.Array, q: jax.Array, k: jax.Array, v: jax.Array, dy: jax.Array) -> Any:
        y, pull = jax.vjp(functools.partial(function, key), q, k, v)
        return y, *pull(dy)

    return both


def check(work: str, setting: Setting, results: list[np.ndarray], mask: np.ndarray | None) -> None:
    """Compares the first rows of (y,) or (y, dq, dk, dv) with attention in float64.

    Args:
        work: attention with dropout or without.
        setting: the setting of the row.
        results: (y,) or (y, dq, dk, dv).
        mask: the dropout mask of the first rows, bool[ROWS, T], if it is known.

    Raises:
        WrongError: a result differs, or is not finite.
    """
    if not all(np.isfinite(x).all() for x in results):
        raise WrongError("not all numbers are finite")
    q, k, v, dy = (x[0, :, 0].astype(np.float64) for x in inputs(setting))
    q, dy = q[:ROWS], dy[:ROWS]
    scores = q @ k.T / SIZE**0.5
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    factor = np.ones_like(weights) if mask is None else mask / (1 - RATE)
    y = (weights * factor) @ v
    found = [x[0, :ROWS, 0] for x in results[:2]]
    if work == WITH and mask is None:
        _noisy(found[0] - y, weights, v)
        return
    cotangent = factor * (dy @ v.T)
    mean = (weights * cotangent).sum(-1, keepdims=True)
    dq = (weights * (cotangent - mean)) @ k / SIZE**0.5
    # The realised rate is 0.100006, so that 1/P(keep) is within 1e-5 of 1/(1 − RATE).
    for name, own, expected in zip(("y", "dq"), found, (y, dq), strict=False):
        error = np.abs(own - expected).max()
        if error > TOLERANCE[setting.dtype] * max(1.0, np.abs(expected).max()):
            raise WrongError(f"{name} is off by {error:.3g}")


def _noisy(noise: np.ndarray, weights: np.ndarray, v: np.ndarray) -> None:
    """Checks that the noise of dropout has mean 0 and the variance that the rate implies."""
    variance = RATE / (1 - RATE) * (weights**2 @ v**2)
    mean = (noise / variance**0.5).mean()
    if abs(mean) > 6 / noise.size**0.5:
        raise WrongError(f"the noise has the mean {mean:.3g} in units of its deviation")
    ratio = (noise**2 / variance).mean()
    # The columns of a row share its mask, so only a quarter of the squares count as independent;
    # each has a standard deviation of √2.
    if abs(ratio - 1) > 6 * (4 * 2 / noise.size) ** 0.5:
        raise WrongError(f"the variance is {ratio:.3g} times that of the rate")


def torch_contender(rate: float) -> Contender:
    """torch's scaled_dot_product_attention, whose flash kernel on CPU supports rate 0 only."""
    work = WITH if rate else WITHOUT

    def build(setting: Setting) -> Program:
        torch = load("torch")
        if jax.default_backend() != "cpu":
            raise NotImplementedError("is timed on CPU alone")
        torch.manual_seed(1)
        q, k, v, dy = (
            torch.from_numpy(x).to(getattr(torch, setting.dtype)).transpose(1, 2)
            for x in inputs(setting)
        )
        gradient = setting.direction == "gradient"
        arrays = [x.requires_grad_(gradient) for x in (q, k, v)]

        def run() -> tuple[Any, ...]:
            y = torch.nn.functional.scaled_dot_product_attention(*arrays, dropout_p=rate)
            return (y, *torch.autograd.grad(y, arrays, dy)) if gradient else (y,)

        def check_results() -> None:
            found = [x.detach().transpose(1, 2).float().numpy() for x in run()]
            check(work, setting, found, None)

        return Program(run, check_results, lambda _: None)

    return Contender(work, "torch", "", build)


def compile_contender(work: str, name: str, library: str, variant: str) -> Contender:
    """A contender that times compiling the gradient of LAYERS layers."""

    def build(setting: Setting) -> Program:
        function, key = FUNCTIONS[name, library, variant], KEYS[DEFAULT_KEY]()
        x = jax.ShapeDtypeStruct(setting.shape, setting.dtype)

        def many(x: jax.Array) -> jax.Array:
            for i in range(LAYERS):
                h = jnp.sin(x)
                x = x + function(jax.random.fold_in(key, i), h, h, h)
            return (x**2).sum()

        facts: Record = {}

        def run() -> None:
            jax.clear_caches()
            start = time.perf_counter()
            lowered = jax.jit(jax.grad(many)).lower(x)
            facts["lower"] = time.perf_counter() - start
            facts["text"] = len(lowered.as_text())
            lowered.compile()

        def check_text() -> None:
            run()
            text = str(jax.make_jaxpr(many)(x))
            drawn = ("flaxnoise_affine" in text, "random_bits" in text)
            if drawn != (library == "flaxnoise", library == "flax.linen"):
                raise WrongError("the program does not draw the noise of this contender")

        return Program(run, check_text, lambda _: None, facts)

    return Contender(work, library, variant, build)
