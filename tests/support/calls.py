"""One valid call of every public function that takes a key or acts on arrays, by argument name.

Used by tests over all functions, such as those of wrong arguments and of pickling.
"""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import flaxnoise
from cases import CASES, KEY

X = jnp.ones((2, 3, 3, 5, 6))
HEADS = jnp.ones((2, 5, 2, 4))
VECTOR, MATRIX = jnp.ones(2), jnp.ones((6, 2))
NOISE = {"key": KEY, "x": X}
SHARED = {**NOISE, "broadcast_dims": ()}
DRAW = {"key": KEY, "shape": (3,)}


def predict(key: jax.Array) -> jax.Array:
    """The model that mc_apply runs."""
    return flaxnoise.dropout(key, X, 0.3)


CALLS: dict[str, dict[str, Any]] = {
    **{case.name: SHARED | dict(zip(case.names, case.params, strict=True)) for case in CASES},
    "activity_regularization": {"x": X, "l1": 0.1, "l2": 0.1},
    "attention_dropout": {"key": KEY, "weights": X, "rate": 0.3, "broadcast_dropout": False},
    "concrete_dropout": {**SHARED, "logit": -1.0, "temperature": 0.1},
    "concrete_dropout_penalty": {"logit": -1.0, "kernel": MATRIX, "weight": 0.1, "entropy": 0.1},
    **{f"drop_block_{d}d": {**NOISE, "rate": 0.3, "block_size": 2} for d in (1, 2, 3)},
    "dot_product_attention": {
        "key": KEY,
        **dict.fromkeys(("query", "keys", "values"), HEADS),
        "rate": 0.3,
        "bias": None,
        "mask": None,
        "scale": 0.5,
        "is_causal": False,
        "local_window_size": None,
        "logits_soft_cap": 2.0,
        "broadcast_dropout": False,
    },
    "drop_path": {**NOISE, "rate": 0.3, "mode": "row", "scale": True},
    "feature_alpha_dropout": {**NOISE, "rate": 0.3},
    "gradient_noise": {**NOISE, "stddev": 0.3},
    "gradient_reversal": {"x": X, "scale": 0.3},
    "gradient_scale": {"x": X, "scale": 0.3},
    "linear_rates": {"rate": 0.3, "depth": 3},
    "mc_apply": {"function": predict, "key": KEY, "samples": 2},
    "noisy_dense": {
        **NOISE,
        "kernel": MATRIX,
        "bias": VECTOR,
        "kernel_stddev": MATRIX,
        "bias_stddev": VECTOR,
        "factorised": True,
    },
    "per_example": {"function": flaxnoise.dropout},
    "residual_drop_path": {**NOISE, "branch": jnp.tanh, "rate": 0.3},
    **{f"spatial_dropout_{d}d": {**NOISE, "rate": 0.3} for d in (1, 2, 3)},
    "stop_gradient": {"x": X, "where": None},
    "token_dropout": {
        "key": KEY,
        "ids": jnp.arange(6),
        "rate": 0.3,
        "mask_id": 0,
        "protected": (1,),
    },
    "variational_dropout": {**SHARED, "log_alpha": -1.0},
    "variational_dropout_kl": {"log_alpha": -1.0},
    "word_dropout": {**NOISE, "rate": 0.3},
    "random.bits": DRAW,
    "random.keep_mask": {**DRAW, "rate": 0.3},
    **{
        f"random.{name}": {**DRAW, "dtype": jnp.float32}
        for name in ("laplace", "normal", "signed_uniform", "uniform")
    },
    "random.realised_rate": {"rate": 0.3},
}


def public(name: str) -> Callable[..., Any]:
    """Returns the function of that name in flaxnoise."""
    module, _, name = name.rpartition(".")
    return getattr(flaxnoise.random if module else flaxnoise, name)


def public_functions() -> set[str]:
    """Returns the names of all public functions of flaxnoise and flaxnoise.random."""
    return {
        prefix + name
        for prefix, module in (("", flaxnoise), ("random.", flaxnoise.random))
        for name, value in vars(module).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
