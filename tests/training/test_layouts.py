"""FSDP and tensor parallelism shard the parameters and leave the losses unchanged."""

from pathlib import Path

import jax
import numpy as np
import pytest

from demo_parts import digits_data
from train_parts.checkpoints import Checkpoints
from train_parts.layout import Layout
from train_parts.training import Training

STEPS = 6
DATA = digits_data.load(seeds=1, images=48)
# Means over the batch and matrix products are summed in different order: float32 roundings, 2^-24
# each, of up to a hundred terms, which carry over from step to step.
ROUNDINGS = 100 * 2.0**-24 * STEPS


def losses(training: Training, layout: Layout, steps: int) -> list[float]:
    batch = layout.over_data(DATA.images[0]), layout.over_data(DATA.labels[0])
    return [float(training.step(*batch)) for _ in range(steps)]


@pytest.fixture(scope="module")
def expected() -> list[float]:
    layout = Layout("data")
    return losses(Training(layout, seed=0), layout, STEPS)


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [("fsdp", (64, 16), (128, 16)), ("tensor", (64, 64), (64, 128))],
)
def test_losses_are_those_of_whole_parameters(
    name: str, first: tuple, second: tuple, expected: list[float]
):
    layout = Layout(name)
    training = Training(layout, seed=0)
    for layer, local in (("first", first), ("second", second)):
        kernel = training.state["params"][layer]["kernel"]
        assert {shard.data.shape for shard in kernel[...].addressable_shards} == {local}
    np.testing.assert_allclose(losses(training, layout, STEPS), expected, rtol=ROUNDINGS)


def test_another_seed_gives_other_losses(expected: list[float]):
    """Shows that the comparisons within the tolerance can fail."""
    layout = Layout("data")
    other = losses(Training(layout, seed=1), layout, STEPS)
    assert abs(np.subtract(other, expected)).max() > 100 * ROUNDINGS


def test_a_checkpoint_of_one_layout_continues_in_another(
    tmp_path: Path, expected: list[float], monkeypatch: pytest.MonkeyPatch
):
    """Saved by FSDP on eight devices after three steps, resumed tensor parallel on two."""
    layout = Layout("fsdp")
    training = Training(layout, seed=0)
    losses(training, layout, 3)
    checkpoints = Checkpoints(tmp_path, every=1)
    checkpoints.save(3, training.state)

    monkeypatch.setattr(jax, "device_count", lambda: 2)
    devices = jax.devices()[:2]
    monkeypatch.setattr(jax, "devices", lambda *_: devices)
    layout = Layout("tensor")
    assert layout.mesh.size == 2
    resumed = Training(layout, seed=5)
    step, resumed.state = checkpoints.latest(resumed.state)
    checkpoints.close()
    assert step == 3
    np.testing.assert_allclose(losses(resumed, layout, 3), expected[3:], rtol=ROUNDINGS)
