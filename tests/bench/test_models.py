"""Whole models: each variant draws the noise that its name says, and learns."""

import jax
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from bench import clients, contenders, models, text
from bench.measure import WrongError
from every import every

KEY = jax.random.key(0)


def primitives(jaxpr) -> list[str]:
    """Returns the names of the primitives of a jaxpr and of those nested in it."""
    names = []
    for equation in jaxpr.eqns:
        names.append(equation.primitive.name)
        for inner in jaxprs_in_params(equation.params):
            names += primitives(inner)
    return names


def assert_each_library_draws_its_own_noise(make, dropouts: int):
    found = {}
    for library, key in (("none", None), ("flax.linen", KEY), ("flaxnoise", KEY)):
        trainer = models.Trainer(make(), key, replaced=library == "flaxnoise")
        names = primitives(jax.make_jaxpr(trainer.step)(trainer.batches, trainer.held).jaxpr)
        found[library] = (names.count("flaxnoise_affine"), names.count("random_bits"))
    assert found["none"] == (0, 0)
    assert found["flax.linen"] == (0, dropouts)
    # Drawn once forward and once backward: nothing is saved.
    assert found["flaxnoise"] == (2 * dropouts, 0)


@every(("make", "dropouts"), [(models.digits, 2), (models.words, 7)])
def test_each_library_draws_its_own_noise(make, dropouts: int):
    assert_each_library_draws_its_own_noise(make, dropouts)


@pytest.mark.skipif(clients.missing() is not None, reason=str(clients.missing()))
@pytest.mark.filterwarnings("default")  # transformers itself warns at import and in calls
@every("make", [models.bert, models.gpt2])
def test_each_library_draws_its_own_noise_in_models_of_transformers(make):
    assert_each_library_draws_its_own_noise(make, 7)


def test_a_model_that_does_not_learn_is_refused():
    with pytest.raises(WrongError, match=r"the loss went from 2.300 to 2.300"):
        models.check_learning(lambda: 2.3)


def test_the_mlp_is_trained_by_every_contender():
    (row,) = models.rows(quick=True, only="mlp")
    assert [contender.library for contender in row.contenders][:3] == [
        "none",
        "flax.linen",
        "flaxnoise",
    ]
    program = row.contenders[2].build(row.setting)
    program.check()
    assert program.facts["temporary"] > 0


def test_missing_models_of_transformers_are_listed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clients, "missing", lambda: "there is none")
    assert not list(models.rows(quick=False, only="of transformers"))
    assert contenders.missing("cpu")["transformers"] == "there is none"


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
