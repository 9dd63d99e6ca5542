"""Every distribution of jax.random is right under a key of flaxnoise.random.key."""

import zlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

import scores
from every import every
from flaxnoise import random
from scores import LIMIT

SIZE = 1 << 15
# Kolmogorov's statistic √n·max|F − F_n| exceeds 3.2 once in 4·10^8 tests (2·exp(−2·3.2²)).
LIMIT_KOLMOGOROV = 3.2
KEY = random.key(11)
WEIGHTS = np.array([0.1, 0.2, 0.3, 0.4])

Draw = Callable[[jax.Array], jax.Array]

CONTINUOUS: dict[str, tuple[Draw, scipy.stats.rv_continuous]] = {
    "uniform": (lambda k: jax.random.uniform(k, SIZE), scipy.stats.uniform()),
    "normal": (lambda k: jax.random.normal(k, SIZE), scipy.stats.norm()),
    "truncated_normal": (
        lambda k: jax.random.truncated_normal(k, -1.0, 2.0, SIZE),
        scipy.stats.truncnorm(-1, 2),
    ),
    "beta": (lambda k: jax.random.beta(k, 0.7, 2.0, SIZE), scipy.stats.beta(0.7, 2)),
    "cauchy": (lambda k: jax.random.cauchy(k, SIZE), scipy.stats.cauchy()),
    "chisquare": (lambda k: jax.random.chisquare(k, 3.0, shape=SIZE), scipy.stats.chi2(3)),
    "dirichlet": (
        lambda k: jax.random.dirichlet(k, jnp.array([0.5, 1.0, 2.0]), (SIZE,))[:, 0],
        scipy.stats.beta(0.5, 3),
    ),
    "double_sided_maxwell": (
        lambda k: abs(jax.random.double_sided_maxwell(k, 0.0, 1.0, (SIZE,))),
        scipy.stats.maxwell(),
    ),
    "exponential": (lambda k: jax.random.exponential(k, SIZE), scipy.stats.expon()),
    "f": (lambda k: jax.random.f(k, 3.0, 7.0, SIZE), scipy.stats.f(3, 7)),
    "gamma": (lambda k: jax.random.gamma(k, 0.6, SIZE), scipy.stats.gamma(0.6)),
    "generalized_normal": (
        lambda k: jax.random.generalized_normal(k, 1.5, (SIZE,)),
        scipy.stats.gennorm(1.5),
    ),
    "gumbel": (lambda k: jax.random.gumbel(k, SIZE), scipy.stats.gumbel_r()),
    "laplace": (lambda k: jax.random.laplace(k, SIZE), scipy.stats.laplace()),
    "loggamma": (lambda k: jnp.exp(jax.random.loggamma(k, 2.0, SIZE)), scipy.stats.gamma(2)),
    "logistic": (lambda k: jax.random.logistic(k, SIZE), scipy.stats.logistic()),
    "lognormal": (lambda k: jax.random.lognormal(k, 0.5, SIZE), scipy.stats.lognorm(0.5)),
    "maxwell": (lambda k: jax.random.maxwell(k, (SIZE,)), scipy.stats.maxwell()),
    "multivariate_normal": (
        lambda k: jax.random.multivariate_normal(
            k, jnp.zeros(2), jnp.array([[2.0, 1.0], [1.0, 2.0]]), (SIZE,)
        ).sum(axis=1),
        scipy.stats.norm(scale=np.sqrt(6)),
    ),
    "pareto": (lambda k: jax.random.pareto(k, 3.0, SIZE), scipy.stats.pareto(3)),
    "rayleigh": (lambda k: jax.random.rayleigh(k, 1.0, SIZE), scipy.stats.rayleigh()),
    "t": (lambda k: jax.random.t(k, 4.0, SIZE), scipy.stats.t(4)),
    "triangular": (
        lambda k: jax.random.triangular(k, 0.0, 1.0, 4.0, SIZE),
        scipy.stats.triang(0.25, scale=4),
    ),
    "wald": (lambda k: jax.random.wald(k, 1.5, SIZE), scipy.stats.invgauss(1.5)),
    "weibull_min": (
        lambda k: jax.random.weibull_min(k, 1.0, 2.0, (SIZE,)),
        scipy.stats.weibull_min(2),
    ),
    "ball": (
        lambda k: jnp.linalg.norm(jax.random.ball(k, 3, shape=(SIZE,)), axis=1) ** 3,
        scipy.stats.uniform(),
    ),
    "orthogonal": (
        lambda k: jax.random.orthogonal(k, 3, (SIZE // 2,))[:, 0, 1] / 2 + 0.5,
        scipy.stats.uniform(),  # a coordinate of the sphere in three dimensions (Archimedes)
    ),
}

# Draws of the integers 0, 1, … and their probabilities.
DISCRETE: dict[str, tuple[Draw, NDArray]] = {
    "bernoulli": (lambda k: jax.random.bernoulli(k, 0.3, SIZE), np.array([0.7, 0.3])),
    "binomial": (
        lambda k: jax.random.binomial(k, 5, 0.3, (SIZE,)),
        scipy.stats.binom(5, 0.3).pmf(np.arange(6)),
    ),
    "categorical": (lambda k: jax.random.categorical(k, jnp.log(WEIGHTS), shape=SIZE), WEIGHTS),
    "choice": (lambda k: jax.random.choice(k, 4, (SIZE,), p=WEIGHTS), WEIGHTS),
    "choice without replacement": (
        lambda k: jax.random.choice(k, jnp.arange(SIZE) % 4, (SIZE // 8,), replace=False),
        np.full(4, 1 / 4),
    ),
    "geometric": (
        lambda k: jnp.minimum(jax.random.geometric(k, 0.4, SIZE) - 1, 5),
        np.append(0.4 * 0.6 ** np.arange(5), 0.6**5),
    ),
    "multinomial": (
        lambda k: jax.vmap(lambda k: jax.random.multinomial(k, 1, WEIGHTS))(
            jax.random.split(k, SIZE // 8)
        ).argmax(axis=1),
        WEIGHTS,
    ),
    "permutation": (
        lambda k: jax.vmap(lambda k: jax.random.permutation(k, 5)[3])(
            jax.random.split(k, SIZE // 8)
        ),
        np.full(5, 1 / 5),
    ),
    "rademacher": (lambda k: (jax.random.rademacher(k, SIZE) + 1) // 2, np.full(2, 1 / 2)),
    "randint": (lambda k: jax.random.randint(k, SIZE, 0, 7), np.full(7, 1 / 7)),
    "randint of 8 bits": (
        lambda k: jax.random.randint(k, SIZE, 0, 100, jnp.int8),
        np.full(100, 1 / 100),
    ),
    "bits": (lambda k: jax.random.bits(k, SIZE, jnp.uint8), np.full(256, 1 / 256)),
}


def drawn(name: str, draw: Draw) -> NDArray:
    return np.asarray(jax.jit(draw)(jax.random.fold_in(KEY, zlib.crc32(name.encode()))))


def kolmogorov(sample: NDArray, law: scipy.stats.rv_continuous) -> float:
    return np.sqrt(sample.size) * scipy.stats.kstest(sample, law.cdf).statistic


@every("name", CONTINUOUS)
def test_a_continuous_distribution_has_its_law(name: str):
    draw, law = CONTINUOUS[name]
    sample = drawn(name, draw).astype(np.float64)
    assert kolmogorov(sample, law) < LIMIT_KOLMOGOROV
    # Planted: a few percent too many draws are below the median.
    few = np.arange(sample.size) % 16 == 0
    shifted = np.where(few, np.minimum(sample, law.median()), sample)
    assert kolmogorov(shifted, law) > LIMIT_KOLMOGOROV


@every("name", DISCRETE)
def test_a_discrete_distribution_has_its_law(name: str):
    draw, probabilities = DISCRETE[name]
    sample = drawn(name, draw).astype(np.int64)
    counts = np.bincount(sample, minlength=len(probabilities))
    assert counts.shape == probabilities.shape
    assert scores.chi_square(counts, probabilities) < LIMIT
    # Planted: some draws are replaced by the first value.
    shifted = np.bincount(
        np.where(np.arange(sample.size) % 5 == 0, 0, sample), minlength=counts.size
    )
    assert scores.chi_square(shifted, probabilities) > LIMIT


@every("dtype", ["bfloat16", "float16", "float64"])
def test_uniforms_of_other_dtypes_have_the_steps_of_their_mantissa(dtype: str):
    with jax.enable_x64(dtype == "float64"):
        sample = np.asarray(jax.random.uniform(KEY, SIZE, dtype)).astype(np.float64)
    steps = sample * 2.0 ** jnp.finfo(dtype).nmant
    assert np.all((steps == np.floor(steps)) & (sample >= 0) & (sample < 1))
    # The mean of the grid is half a step below ½.
    off = sample - (0.5 - 0.5 * 2.0 ** -jnp.finfo(dtype).nmant)
    assert scores.largest_sum(off.sum(), sample.size / 12) < LIMIT


def test_a_permutation_has_every_element_once():
    assert sorted(jax.random.permutation(KEY, 1000).tolist()) == [*range(1000)]
    rows = jax.random.permutation(KEY, jnp.arange(64).reshape(8, 8), axis=1, independent=True)
    assert all(sorted(row) == [*range(8 * n, 8 * n + 8)] for n, row in enumerate(rows.tolist()))


def test_poisson_is_jaxs_own_limit():
    """It only supports threefry2x32; a key of that kind can be drawn from one of ours."""
    with pytest.raises(NotImplementedError, match="only implemented for the threefry2x32"):
        jax.random.poisson(KEY, 3.0, (SIZE,))
    other = jax.random.wrap_key_data(jax.random.bits(KEY, (2,)), impl="threefry2x32")
    counts = np.bincount(np.minimum(jax.random.poisson(other, 1.0, (SIZE,)), 4))
    law = scipy.stats.poisson(1)
    assert scores.chi_square(counts, np.append(law.pmf(np.arange(4)), law.sf(3))) < LIMIT


def test_all_distributions_are_here():
    """All distributions of this version of jax are tested."""
    no_distributions = {
        *("Key", "PRNGKey", "key", "key_data", "key_dtype", "key_impl", "wrap_key_data", "clone"),
        *("split", "fold_in", "random_gamma_p", "poisson"),
    }
    ours = {name.split()[0] for name in (*CONTINUOUS, *DISCRETE)}
    public = {name for name in dir(jax.random) if not name.startswith("_")}
    assert public - no_distributions - ours == set()
    assert ours <= public
