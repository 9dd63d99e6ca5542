"""Part 4 of the demo takes its contenders from bench, and stops at a wrong result."""

import jax.numpy as jnp
import pytest

from bench.contenders import OURS
from demo_parts import speed

SHAPE = (64, 1024)


def test_each_contender_is_timed_forward_and_backward_and_named():
    records = speed.measured(rounds=2, shape=SHAPE)
    assert [*records] == ["forward", "gradient"]
    for own in records.values():
        labels = [speed.label(record) for record in own]
        assert labels[0].startswith("dropout, flaxnoise")
        assert "dropout, flax.linen (threefry2x32)" in labels
        assert "gaussian_noise, jax.random (threefry2x32)" in labels
        assert "jax (x * 1.25)" in labels
    lines = speed.takeaways(records, "cpu")
    assert len(lines) == 2
    assert lines[0].startswith("dropout, flax.linen (threefry2x32) takes ")
    speed.picture(records, "cpu")


def test_a_wrong_result_stops_the_part(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(OURS, "dropout", lambda key, x: jnp.where(x > 1.1, x, 0))
    with pytest.raises(ArithmeticError, match=r"flaxnoise \(\w+\): a value is off"):
        speed.measured(rounds=2, shape=SHAPE)
