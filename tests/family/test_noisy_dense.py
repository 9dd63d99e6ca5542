"""NoisyDense: the noise of the paper, in both forms, with gradients for all four parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.ad_checkpoint import print_saved_residuals

import flaxnoise
import flaxnoise.linen
import flaxnoise.nnx
from cases import KEY, array
from every import every
from flaxnoise import random

X = array(3, 5, 33)
PARAMETERS = {
    "kernel": array(33, 7, seed=1),
    "bias": array(7, seed=2),
    "kernel_stddev": array(33, 7, seed=3),
    "bias_stddev": array(7, seed=4),
}
both_forms = every("factorised", [True, False])


def noise(key, factorised):
    """Returns the noise of the kernel, (33, 7), and of the bias, (7,)."""
    if factorised:
        n = random.normal(key, (40,))
        n = jnp.sign(n) * jnp.sqrt(abs(n))
        return jnp.outer(n[:33], n[33:]), n[33:]
    n = random.normal(key, (34, 7))
    return n[:33], n[33]


def reference(key, x, kernel, bias, kernel_stddev, bias_stddev, factorised):
    n, m = noise(key, factorised)
    return x @ (kernel + kernel_stddev * n) + bias + bias_stddev * m


def assert_sums_equal(found, expected):
    """Compares sums of 70 products of numbers below 30, in different order."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=70 * 2.0**-23 * 30 * 4)


@both_forms
def test_output_is_that_of_the_noisy_matrix(factorised: bool):
    y = flaxnoise.noisy_dense(KEY, X, **PARAMETERS, factorised=factorised)
    assert y.shape == (3, 5, 7)
    assert_sums_equal(y, reference(KEY, X, **PARAMETERS, factorised=factorised))


@both_forms
def test_gradients_are_those_of_the_reference(factorised: bool):
    def loss(f, x, parameters):
        return (f(KEY, x, **parameters, factorised=factorised) * array(3, 5, 7, seed=5)).sum()

    found = jax.grad(loss, (1, 2))(flaxnoise.noisy_dense, X, PARAMETERS)
    expected = jax.grad(loss, (1, 2))(reference, X, PARAMETERS)
    jax.tree.map(assert_sums_equal, found, expected)


@both_forms
def test_no_noise_of_the_matrix_is_kept(factorised: bool, capsys: pytest.CaptureFixture[str]):
    def call(stddev):
        return flaxnoise.noisy_dense(
            KEY, X, **{**PARAMETERS, "kernel_stddev": stddev}, factorised=factorised
        )

    print_saved_residuals(call, PARAMETERS["kernel_stddev"])
    saved = capsys.readouterr().out.splitlines()
    assert not [line for line in saved if "[33,7]" in line and "argument" not in line]


@both_forms
def test_vmap_over_keys_equals_the_loop(factorised: bool):
    keys = jax.random.split(KEY, 3)
    call = lambda key, x: flaxnoise.noisy_dense(key, x, **PARAMETERS, factorised=factorised)  # noqa: E731
    loop = jnp.stack([call(key, x) for key, x in zip(keys, X, strict=True)])
    assert_sums_equal(jax.jit(jax.vmap(call))(keys, X), loop)


def test_noise_of_the_two_forms_has_the_paper_s_moments():
    """E f(p)² = E|p| = √(2/π), so factorised noise has variance 2/π, independent noise 1."""
    keys = jax.random.split(KEY, 4000)
    n = np.asarray(jax.vmap(lambda key: noise(key, True)[0])(keys))
    per_matrix = (n**2).mean(axis=(1, 2))
    score = abs(per_matrix.mean() - 2 / np.pi) / (per_matrix.std() / np.sqrt(len(keys)))
    assert score < 6
    assert abs(1 - 2 / np.pi) / (per_matrix.std() / np.sqrt(len(keys))) > 6


@both_forms
def test_layers_are_the_function(factorised: bool):
    dense = flaxnoise.linen.NoisyDense(7, factorised, deterministic=False)
    variables = dense.init(KEY, X)
    y = dense.apply(variables, X, key=KEY)
    expected = flaxnoise.noisy_dense(KEY, X, **variables["params"], factorised=factorised)
    np.testing.assert_array_equal(y, expected)
    calm = dense.clone(deterministic=True).apply(variables, X)
    assert_sums_equal(calm, X @ variables["params"]["kernel"] + variables["params"]["bias"])
    assert not np.array_equal(y, dense.apply(variables, X, rngs={"dropout": KEY}))

    layer = flaxnoise.nnx.NoisyDense(33, 7, factorised=factorised, rngs=nnx.Rngs(0))
    state = {name: getattr(layer, name)[...] for name in PARAMETERS}
    expected = flaxnoise.noisy_dense(KEY, X, **state, factorised=factorised)
    np.testing.assert_array_equal(layer(X, key=KEY), expected)
    assert not np.array_equal(layer(X), layer(X))
    layer.eval()
    assert_sums_equal(layer(X), X @ state["kernel"] + state["bias"])
    gradients = nnx.grad(lambda layer: (layer(X, key=KEY, deterministic=False) ** 2).sum())(layer)
    assert all((gradients[name][...] != 0).all() for name in PARAMETERS)
    for parameters in (variables["params"], state):
        bound = 33**-0.5 if factorised else (3 / 33) ** 0.5
        assert 0.8 * bound < abs(parameters["kernel"]).max() <= bound
        stddev = 0.5 * 33**-0.5 if factorised else 0.017
        np.testing.assert_array_equal(parameters["kernel_stddev"], np.float32(stddev))


@pytest.mark.parametrize("deterministic", [False, True])
def test_layers_name_a_wrong_shape_or_type_as_the_function_does(deterministic: bool):
    dense = flaxnoise.linen.NoisyDense(7, deterministic=deterministic)
    variables = dense.init({"params": KEY, "dropout": KEY}, X)
    layer = flaxnoise.nnx.NoisyDense(33, 7, deterministic=deterministic, rngs=nnx.Rngs(0))
    for call in (lambda x: dense.apply(variables, x, rngs={"dropout": KEY}), layer):
        with pytest.raises(ValueError, match=r"noisy_dense: kernel must have the shape \(5, 7\)"):
            call(X[..., :5])
        with pytest.raises(ValueError, match=r"noisy_dense: x must have at least 1 dimension"):
            call(X.ravel()[0])
        with pytest.raises(TypeError, match=r"noisy_dense: x must be floating"):
            call(X.astype(int))


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"noisy_dense: kernel must have the shape \(33, 7\)"):
        flaxnoise.noisy_dense(KEY, X, **{**PARAMETERS, "kernel": array(7, 33)})
    with pytest.raises(ValueError, match=r"bias_stddev must have the shape \(7,\), got \(33, 7\)"):
        flaxnoise.noisy_dense(KEY, X, **{**PARAMETERS, "bias_stddev": array(33, 7)})
    with pytest.raises(TypeError, match=r"noisy_dense: kernel must be a floating array, got 0.5"):
        flaxnoise.noisy_dense(KEY, X, **{**PARAMETERS, "kernel": 0.5})
    with pytest.raises(TypeError, match=r"NoisyDense: rngs must be an nnx.Rngs"):
        flaxnoise.nnx.NoisyDense(33, 7)
