"""The table of contenders: our functions, the baselines, and the limits set by memory bandwidth.

Every suite, the demo and the reports of compiled code take their functions from here.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

import flaxnoise
from bench import clients
from bench.expectations import (
    FACTOR,
    HIGH,
    IDS,
    L1,
    LOGIT,
    LOW,
    RATE,
    STDDEV,
    TEMPERATURE,
)
from bench.measure import Contender, Program, Setting
from bench.programs import (
    Function,
    Key,
    jax_contender,
    keras_contender,
    load,
    numpy_contender,
    torch_contender,
)

# Key implementation → makes a key of it.
KEYS: dict[str, Key] = {
    "threefry2x32": functools.partial(jax.random.key, 1, impl="threefry2x32"),
    "rbg": functools.partial(jax.random.key, 1, impl="rbg"),
    "philox2x32": functools.partial(jax.random.key, 1, impl="philox2x32"),
    "philox4x32": functools.partial(jax.random.key, 1, impl="philox4x32"),
    "flaxnoise": functools.partial(flaxnoise.random.key, 1),
}
DEFAULT_KEY = "threefry2x32"
KERNELS = {"cpu": "cpu", "gpu": "mosaic_gpu", "tpu": "mosaic_tpu"}  # jax's platform → our backend


def flax_dropout(key: jax.Array, x: jax.Array, *broadcast_dims: int) -> jax.Array:
    layer = load("flax.linen").Dropout(RATE, broadcast_dims, deterministic=False)
    return layer.apply({}, x, rngs={"dropout": key})


def nnx_dropout(key: jax.Array, x: jax.Array) -> jax.Array:
    nnx = load("flax.nnx")
    return nnx.Dropout(RATE, deterministic=False)(x, rngs=nnx.Rngs(dropout=key))


def jax_noise(key: jax.Array, x: jax.Array) -> jax.Array:
    return x + jnp.asarray(STDDEV, x.dtype) * jax.random.normal(key, x.shape, x.dtype)


def jax_bernoulli(key: jax.Array, x: jax.Array) -> jax.Array:
    return jax.random.bernoulli(key, 1 - RATE, x.shape).astype(x.dtype)


def chain(noise: Function) -> Callable[..., jax.Array]:
    """x + noise(gelu(x + bias)): the operations around dropout in a transformer."""
    return lambda key, x, bias=1: x + noise(key, jax.nn.gelu(x + jnp.asarray(bias, x.dtype)))


def dropout(key: jax.Array, x: jax.Array) -> jax.Array:
    return flaxnoise.dropout(key, x, RATE)


def _tokens(key: jax.Array, x: jax.Array) -> jax.Array:
    ids = (x.astype(jnp.float32) * IDS).astype(jnp.int32)
    return flaxnoise.token_dropout(key, ids, RATE, mask_id=0).astype(x.dtype)


def _noisy_dense(key: jax.Array, x: jax.Array) -> jax.Array:
    """noisy_dense on one-hot inputs with zero weights, so that y is the noise of its weights."""
    stddev = x.reshape(-1, x.shape[-1])
    kernel, bias = jnp.zeros_like(stddev), jnp.zeros_like(stddev[0])
    inputs = jnp.eye(stddev.shape[0], dtype=x.dtype)
    y = flaxnoise.noisy_dense(key, inputs, kernel, bias, stddev, bias, factorised=False)
    return y.reshape(x.shape)


def _drop_connect(key: jax.Array, x: jax.Array) -> jax.Array:
    """DropConnect on one-hot inputs with weights x, so that y is x with dropped elements."""
    linen, ours = load("flax.linen"), load("flaxnoise.linen")
    kernel = x.reshape(-1, x.shape[-1])
    dense = ours.WeightNoise(linen.Dense(kernel.shape[1], use_bias=False), ours.Dropout(RATE))
    inputs = jnp.eye(kernel.shape[0], dtype=x.dtype)
    parameters = {"params": {"layer": {"kernel": kernel}}}
    return dense.apply(parameters, inputs, deterministic=False, key=key).reshape(x.shape)


def _annealed(library: str) -> Function:
    """The first update of a library's add_noise, an optax transformation."""

    def update(key: jax.Array, x: jax.Array) -> jax.Array:
        noise = load(library).add_noise(STDDEV**2, 0.55, key)
        return noise.update(x, noise.init(x))[0]

    return update


# By the names of the functions of flaxnoise. A new function is a row here and an expectation.
OURS: dict[str, Function] = {
    "dropout": dropout,
    "gaussian_noise": lambda key, x: flaxnoise.gaussian_noise(key, x, STDDEV),
    "chain": chain(dropout),
    "gaussian_dropout": lambda key, x: flaxnoise.gaussian_dropout(key, x, RATE),
    "masked_gaussian_noise": lambda key, x: flaxnoise.masked_gaussian_noise(key, x, RATE, STDDEV),
    "alpha_dropout": lambda key, x: flaxnoise.alpha_dropout(key, x, RATE),
    "feature_alpha_dropout": lambda key, x: flaxnoise.feature_alpha_dropout(key, x, RATE),
    "uniform_noise": lambda key, x: flaxnoise.uniform_noise(key, x, STDDEV),
    "multiplicative_uniform": lambda key, x: flaxnoise.multiplicative_uniform(key, x, STDDEV),
    "laplace_noise": lambda key, x: flaxnoise.laplace_noise(key, x, STDDEV),
    "salt_and_pepper_noise": lambda key, x: flaxnoise.salt_and_pepper_noise(
        key, x, RATE, LOW, HIGH
    ),
    "attention_dropout": lambda key, x: flaxnoise.attention_dropout(
        key, x, RATE, broadcast_dropout=True
    ),
    "consistent_dropout": lambda key, x: flaxnoise.dropout(key, x, RATE, broadcast_dims=0),
    "spatial_dropout_1d": lambda key, x: flaxnoise.spatial_dropout_1d(key, x, RATE),
    "spatial_dropout_2d": lambda key, x: flaxnoise.spatial_dropout_2d(key, x, RATE),
    "spatial_dropout_3d": lambda key, x: flaxnoise.spatial_dropout_3d(key, x, RATE),
    "drop_block_2d": lambda key, x: flaxnoise.drop_block_2d(key, x, RATE, block_size=7),
    "drop_path": lambda key, x: flaxnoise.drop_path(key, x, RATE),
    "word_dropout": lambda key, x: flaxnoise.word_dropout(key, x, RATE),
    "token_dropout": _tokens,
    "variational_dropout": lambda key, x: flaxnoise.variational_dropout(
        key, x, 2 * math.log(STDDEV)
    ),
    "concrete_dropout": lambda key, x: flaxnoise.concrete_dropout(
        key, x, LOGIT, temperature=TEMPERATURE
    ),
    "noisy_dense": _noisy_dense,
    "drop_connect": _drop_connect,
    "gradient_noise": lambda key, x: flaxnoise.gradient_noise(key, x, STDDEV),
    "gradient_scale": lambda key, x: flaxnoise.gradient_scale(x, FACTOR),
    "gradient_reversal": lambda key, x: flaxnoise.gradient_reversal(x),
    "activity_regularization": lambda key, x: flaxnoise.activity_regularization(x, l1=L1),
    "stop_gradient": lambda key, x: flaxnoise.stop_gradient(x),
    "add_noise": _annealed("flaxnoise.optax"),
    "normal": lambda key, x: flaxnoise.random.normal(key, x.shape, x.dtype),
}

# Functions that draw through jax.random, so that they take keys of any implementation.
DRAWN: dict[str, tuple[str, Function]] = {
    "dropout": ("flax.linen", flax_dropout),
    "gaussian_noise": ("jax.random", jax_noise),
    "normal": ("jax.random", lambda key, x: jax.random.normal(key, x.shape, x.dtype)),
    "uniform": ("jax.random", lambda key, x: jax.random.uniform(key, x.shape, x.dtype)),
    "bernoulli": ("jax.random", jax_bernoulli),
    "permutation": ("jax.random", lambda key, x: jax.random.permutation(key, x)),
}


def drawn(work: str, *keys: str) -> list[Contender]:
    """Returns a contender for a row of DRAWN under each of the key implementations."""
    library, function = DRAWN[work]
    if work in ("gaussian_noise", "normal"):
        return [_wide(jax_contender(work, library, key, function, KEYS[key])) for key in keys]
    return [jax_contender(work, library, key, function, KEYS[key]) for key in keys]


def _wide(contender: Contender) -> Contender:
    """Restricts a contender to float32: narrow normals of jax.random do not pass the check."""

    def build(setting: Setting) -> Program:
        if setting.dtype != "float32":
            raise NotImplementedError(
                f"is biased in {setting.dtype}: the mean is −0.01 σ, and nothing is beyond 2.9 σ"
            )
        return contender.build(setting)

    return contender._replace(build=build)


def _copy(setting: Setting) -> Program:
    if setting.mode == "donated":
        raise NotImplementedError("has nothing to do where memory is donated")
    return jax_contender("copy", "jax", "copy", lambda key, x: jnp.copy(x)).build(setting)


BASELINES: tuple[Contender, ...] = (
    jax_contender("scale", "jax", "x * 1.25", lambda key, x: x * jnp.asarray(FACTOR, x.dtype)),
    Contender("copy", "jax", "copy", _copy),
    # The fastest implementation of jax on CPU; the suite keys has all of them.
    *drawn("dropout", DEFAULT_KEY, "philox2x32"),
    jax_contender("dropout", "flax.nnx", DEFAULT_KEY, nnx_dropout),
    keras_contender("dropout", "Dropout", RATE),
    jax_contender(
        "dropout", "equinox", "", lambda key, x: load("equinox").nn.Dropout(RATE)(x, key=key)
    ),
    jax_contender("dropout", "haiku", "", lambda key, x: load("haiku").dropout(key, RATE, x)),
    torch_contender(
        "dropout",
        "",
        lambda torch, x, in_place: torch.nn.functional.dropout(x, RATE, True, in_place),
        in_place=True,
    ),
    numpy_contender(
        "dropout", "SFC64", lambda rng, x: x * (rng.random(x.shape, x.dtype) >= RATE) / (1 - RATE)
    ),
    jax_contender("chain", "flax.linen", DEFAULT_KEY, chain(flax_dropout)),
    *drawn("gaussian_noise", DEFAULT_KEY),
    _wide(keras_contender("gaussian_noise", "GaussianNoise", STDDEV)),
    torch_contender(
        "gaussian_noise",
        "",
        lambda torch, x, in_place: (x.add_ if in_place else x.add)(
            torch.randn_like(x), alpha=STDDEV
        ),
        in_place=True,
    ),
    numpy_contender(
        "gaussian_noise", "SFC64", lambda rng, x: x + STDDEV * rng.standard_normal(x.shape, x.dtype)
    ),
    jax_contender("add_noise", "optax", DEFAULT_KEY, _annealed("optax")),
    *drawn("normal", DEFAULT_KEY),
    torch_contender("normal", "", lambda torch, x, _: torch.randn_like(x)),
    numpy_contender("normal", "SFC64", lambda rng, x: rng.standard_normal(x.shape, x.dtype)),
    keras_contender("gaussian_dropout", "GaussianDropout", RATE),
    keras_contender("alpha_dropout", "AlphaDropout", RATE),
    torch_contender(
        "alpha_dropout", "", lambda torch, x, _: torch.nn.functional.alpha_dropout(x, RATE, True)
    ),
    keras_contender("spatial_dropout_2d", "SpatialDropout2D", RATE),
    jax_contender(
        "spatial_dropout_2d", "flax.linen", DEFAULT_KEY, lambda key, x: flax_dropout(key, x, 1, 2)
    ),
)


def backends(platform: str) -> dict[str, str]:
    """Our backends for a platform, the default first → "available", or the reason why not."""
    kernel = KERNELS.get(platform, "xla")
    return {name: flaxnoise.backends()[name] for name in dict.fromkeys((kernel, "xla"))}


def on_backend(backend: str, function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Returns the function, forced to one of our backends."""

    def forced(*arguments: jax.Array) -> jax.Array:
        with flaxnoise.backend(backend):
            return function(*arguments)

    return forced


def ours(work: str, backend: str) -> Contender:
    """Returns the contender of a row of OURS on one backend."""
    return jax_contender(work, "flaxnoise", backend, on_backend(backend, OURS[work]))


def contenders(platform: str, *works: str) -> list[Contender]:
    """Returns all contenders of some works on a platform, ours first."""
    there = [name for name, reason in backends(platform).items() if reason == "available"]
    gone = missing(platform)
    own = [ours(work, name) for work in works if work in OURS for name in there]
    return own + [c for c in BASELINES if c.work in works and c.library not in gone]


def missing(platform: str) -> dict[str, str]:
    """The backends and libraries that are missing → why."""
    reasons = {
        f"flaxnoise ({name})": reason
        for name, reason in backends(platform).items()
        if reason != "available"
    }
    for library in dict.fromkeys(contender.library for contender in BASELINES):
        try:
            load(library)
        except ImportError as error:
            reasons[library] = str(error)
    if (reason := clients.missing()) is not None:
        reasons["transformers"] = reason
    return reasons
