"""Every public function and its results can be pickled, also by value, for another process."""

import pickle

import cloudpickle
import jax
import jax.numpy as jnp

import flaxnoise
from calls import KEY, X, public, public_functions
from every import every

every_pickle = every("pickles", [pickle, cloudpickle])


@every_pickle
def test_functions_come_back_as_themselves(pickles):
    for name in public_functions():
        function = public(name)
        assert pickles.loads(pickles.dumps(function)) is function


@every_pickle
def test_a_function_of_a_batch_of_keys_comes_back_and_gives_the_same(pickles):
    keys = jax.random.split(KEY, len(X))
    for function in (flaxnoise.dropout, flaxnoise.token_dropout):
        batched = flaxnoise.per_example(function)
        again = pickles.loads(pickles.dumps(batched))
        assert again.__name__ == batched.__name__ == function.__name__
        assert again.__doc__ == function.__doc__
        if function is flaxnoise.dropout:
            assert jnp.array_equal(again(keys, X, 0.3), batched(keys, X, 0.3))


@every_pickle
def test_results_of_monte_carlo_passes_come_back(pickles):
    result = flaxnoise.mc_apply(lambda key: flaxnoise.dropout(key, X, 0.3), KEY, samples=2)
    again = pickles.loads(pickles.dumps(result))
    assert isinstance(again, flaxnoise.MonteCarlo)
    assert jnp.array_equal(again.mean, result.mean)
