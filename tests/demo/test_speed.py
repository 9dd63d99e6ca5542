"""Part 4 of the demo: nothing wrong is timed, and what ran is named."""

import jax.numpy as jnp
import pytest

import flaxnoise
from demo_parts import speed

SIZE = 33 * 129 * 16

WRONG = {
    "x * 1.25": lambda key, x: x * 1.5,
    "a dropout that scales too much": lambda key, x: flaxnoise.dropout(key, x, 0.6),
    "a dropout that drops too much": lambda key, x: (
        jnp.sign(flaxnoise.dropout(key, x, 0.6)) * 2 * x
    ),
    "a noise that is too large": lambda key, x: flaxnoise.gaussian_noise(key, x, 0.11),
    "a noise off centre": lambda key, x: flaxnoise.gaussian_noise(key, x + 0.01, 0.1),
}


@pytest.mark.parametrize("name", speed.CONTENDERS)
def test_contenders_give_right_numbers(name: str):
    speed.check(name, speed.CONTENDERS[name], SIZE)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_numbers_are_refused(name: str):
    with pytest.raises(ArithmeticError, match="gives wrong numbers"):
        speed.check(name, WRONG[name], SIZE)


def test_every_contender_is_timed_forward_and_backward():
    gradients = {name: speed.with_gradient(f) for name, f in speed.CONTENDERS.items()}
    for functions in (speed.CONTENDERS, gradients):
        times = speed.measure(functions, SIZE, rounds=3)
        assert list(times) == list(speed.CONTENDERS)
        assert all(own.wall > 0 for own in times.values())


def test_kernel_is_read_from_the_lowered_module():
    dropout = speed.CONTENDERS["flaxnoise.dropout"]
    with flaxnoise.backend("xla"):
        assert speed.kernel(dropout, SIZE) == "xla's own code"
    served = flaxnoise.backends()["cpu"] == "available"
    expected = "custom call flaxnoise_affine" if served else "xla's own code"
    assert speed.kernel(dropout, SIZE) == expected
