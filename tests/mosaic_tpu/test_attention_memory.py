"""The memory-checking interpreter finds no fault in the attention kernels, and every planted one.

Each kernel runs alone, with two tiles of queries and two of keys, of which the last are partial.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import interpreted_tpu
import reference
from attention_cases import normal
from every import every
from flaxnoise.backends.mosaic_tpu.attention import backward, forward, operands
from flaxnoise.backends.mosaic_tpu.attention.kernel import TpuAttention
from flaxnoise.functional.attention.blockwise import attend
from flaxnoise.functional.attention.plan import Given, Plan

T, S, D = 140, 520, 8
KERNEL = TpuAttention(interpreted_tpu.CHECKED)
GIVEN = Given(
    words=jnp.asarray((1, 2, 3, 4), jnp.uint32),
    threshold=jnp.uint32(reference.threshold(0.3)),
    keep_scale=jnp.float32(1 / 0.7),
)


@pytest.fixture(autouse=True)
def _two_tiles_of_queries(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(forward, "ROWS", 128)
    yield
    interpreted_tpu.reset()


def plan_of(heads: int) -> Plan:
    return Plan(0.5, None, False, None, True, False, (1, heads, T, S), (256, 512), "xla")


def arrays_of(heads: int) -> Any:
    """q, k and v of one head of keys, and no bias."""
    return (*(normal(1, n, h, D, seed=n + i) for i, (n, h) in enumerate(sizes(heads))), None)


def sizes(heads: int) -> tuple[tuple[int, int], ...]:
    return (T, heads), (S, 1), (S, 1)


def cotangents(heads: int) -> Any:
    return normal(1, T, heads, D, seed=11), normal(1, T, heads, seed=12)


def results(heads: int) -> Any:
    run = functools.partial(KERNEL.forward, plan_of(heads))
    return interpreted_tpu.checked_run(run, arrays_of(heads), GIVEN)


def gradients(heads: int, own: Any) -> Any:
    run = functools.partial(KERNEL.backward, plan_of(heads))
    return interpreted_tpu.checked_run(run, arrays_of(heads), GIVEN, own, cotangents(heads))


def blockwise(heads: int) -> Any:
    """The results of the blockwise form, and its gradients."""
    *arrays, bias = arrays_of(heads)
    own, pull = jax.vjp(lambda *x: attend(plan_of(heads), *x, bias, GIVEN), *arrays)
    dy, drest = cotangents(heads)
    return own, pull((dy, jnp.zeros_like(drest), drest))


def test_it_finds_nothing_in_either_pass():
    """Sums of 2·140 or 520 products and 8 features, in another order."""
    (y, top, rest), expected = blockwise(2)
    own = results(2)
    found = (own[0], own[1] + own[2], *gradients(2, own))
    for actual, other in zip(found, (y, top + rest, *expected), strict=True):
        assert np.isfinite(actual).all()
        most = np.abs(other).max()
        np.testing.assert_allclose(actual, other, rtol=0, atol=528 * 2.0**-24 * most)


def test_tiles_of_keys_added_by_two_cores_are_a_race(monkeypatch: pytest.MonkeyPatch):
    """Planted: the axis of keys, along which both kernels add up, is declared parallel."""
    own = blockwise(1)[0]
    monkeypatch.setattr(forward, "ROWS", 256)  # one tile of queries: the cores share those of keys
    for module, last in ((forward, 0), (backward, 1)):
        wrong = functools.partial(operands.parallel, last=last)
        monkeypatch.setattr(module, "parallel", lambda grid, last, wrong=wrong: wrong(grid))
    for run in (results, functools.partial(gradients, own=own)):
        with pytest.raises(RuntimeError, match=r"RACE|a race: what the interpreter printed"):
            run(1)


@every("name", ["q", "k", "v"])
def test_a_block_behind_the_end_is_seen(monkeypatch: pytest.MonkeyPatch, name: str):
    right = operands.Operands.add

    def add(self: Any, own: str, x: Any, block: Any, at: Any, **options: Any) -> None:
        wrong = (lambda *ids: (at(*ids)[0] + 3, 0)) if own == name else at
        right(self, own, x, block, wrong, **options)

    monkeypatch.setattr(operands.Operands, "add", add)
    with pytest.raises(RuntimeError, match=r"(?i)out.of.bounds"):
        results(1)
