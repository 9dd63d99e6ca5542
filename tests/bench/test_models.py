"""Whole models: each variant draws the noise it says, and learns."""

import jax
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from bench import models, text


def primitives(jaxpr) -> list[str]:
    """Of a program and the programs in it."""
    names = []
    for equation in jaxpr.eqns:
        names.append(equation.primitive.name)
        for inner in jaxprs_in_params(equation.params):
            names += primitives(inner)
    return names


@pytest.mark.parametrize(("make", "dropouts"), [(models.digits, 2), (models.words, 7)])
def test_each_library_draws_its_own_noise(make, dropouts: int):
    task = make()
    found = {}
    for library in models.LIBRARIES:
        trainer = models.Trainer(task, library)
        names = primitives(jax.make_jaxpr(trainer.step)(*trainer.held, trainer.batches).jaxpr)
        found[library] = (names.count("flaxnoise_affine"), names.count("random_bits"))
    assert found["none"] == (0, 0)
    assert found["flax.linen"] == (0, dropouts)
    # Once forward, once backward: nothing is kept.
    assert found["flaxnoise"] == (2 * dropouts, 0)


def test_a_model_that_does_not_learn_is_refused():
    trainer = models.Trainer(models.digits(), "none")
    trainer.run = lambda: jax.numpy.float32(2.3)
    with pytest.raises(models.WrongError, match=r"the loss went from 2.300 to 2.300"):
        trainer.test()


def test_the_mlp_learns_with_our_dropout():
    trainer = models.Trainer(models.digits(), "flaxnoise")
    trainer.compile()
    trainer.test()
    assert trainer.compile_seconds > 0
    assert trainer.facts()["temporary"] > 0


def test_numbers_in_words():
    assert text.in_words(1342) == "one thousand three hundred and forty-two"
    assert text.in_words(2007) == "two thousand and seven"
    assert text.in_words(900) == "nine hundred"
    assert len({text.in_words(n) for n in range(10_000)}) == 10_000


def test_the_text_is_a_function_of_its_length():
    ids, vocabulary = text.characters(5000)
    again, _ = text.characters(5000)
    np.testing.assert_array_equal(ids, again)
    assert ids.shape == (5000,)
    assert set(np.unique(ids)) == set(range(vocabulary))
    assert 20 < vocabulary < 32
