"""Noise with learned strength."""

from flaxnoise.functional.learned.concrete import concrete_dropout as concrete_dropout
from flaxnoise.functional.learned.concrete import (
    concrete_dropout_penalty as concrete_dropout_penalty,
)
from flaxnoise.functional.learned.dense import calm_dense as calm_dense
from flaxnoise.functional.learned.dense import noisy_dense as noisy_dense
from flaxnoise.functional.learned.dense import noisy_dense_start as noisy_dense_start
from flaxnoise.functional.learned.variational import variational_dropout as variational_dropout
from flaxnoise.functional.learned.variational import (
    variational_dropout_kl as variational_dropout_kl,
)
