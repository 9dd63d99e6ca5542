"""Noise and stochastic regularisation for JAX and Flax, as fast as the memory of the machine."""

from flaxnoise import random as random
from flaxnoise.affine.shard import fold_in_axes as fold_in_axes
from flaxnoise.affine.shard import local_shard as local_shard
from flaxnoise.affine.sharding import partition_kernels as partition_kernels
from flaxnoise.backends.choice import backend as backend
from flaxnoise.backends.choice import backends as backends
from flaxnoise.functional import dropout as dropout
from flaxnoise.functional import gaussian_dropout as gaussian_dropout
from flaxnoise.functional import gaussian_noise as gaussian_noise
from flaxnoise.functional import masked_gaussian_noise as masked_gaussian_noise
from flaxnoise.functional import stop_gradient as stop_gradient
