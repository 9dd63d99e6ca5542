"""Dropout and noise for JAX and Flax: one formula, one stream, every transform."""

from flaxnoise import random as random
from flaxnoise.affine.shard import fold_in_axes as fold_in_axes
from flaxnoise.affine.shard import local_shard as local_shard
from flaxnoise.affine.sharding import partition_kernels as partition_kernels
from flaxnoise.backends.choice import backend as backend
from flaxnoise.backends.choice import backends as backends
from flaxnoise.draws import Draw as Draw
from flaxnoise.draws import dropouts as dropouts
from flaxnoise.functional import activity_regularization as activity_regularization
from flaxnoise.functional import alpha_dropout as alpha_dropout
from flaxnoise.functional import attention_dropout as attention_dropout
from flaxnoise.functional import concrete_dropout as concrete_dropout
from flaxnoise.functional import concrete_dropout_penalty as concrete_dropout_penalty
from flaxnoise.functional import dot_product_attention as dot_product_attention
from flaxnoise.functional import drop_block_1d as drop_block_1d
from flaxnoise.functional import drop_block_2d as drop_block_2d
from flaxnoise.functional import drop_block_3d as drop_block_3d
from flaxnoise.functional import drop_path as drop_path
from flaxnoise.functional import dropout as dropout
from flaxnoise.functional import feature_alpha_dropout as feature_alpha_dropout
from flaxnoise.functional import gaussian_dropout as gaussian_dropout
from flaxnoise.functional import gaussian_noise as gaussian_noise
from flaxnoise.functional import gradient_noise as gradient_noise
from flaxnoise.functional import gradient_reversal as gradient_reversal
from flaxnoise.functional import gradient_scale as gradient_scale
from flaxnoise.functional import laplace_noise as laplace_noise
from flaxnoise.functional import linear_rates as linear_rates
from flaxnoise.functional import masked_gaussian_noise as masked_gaussian_noise
from flaxnoise.functional import multiplicative_uniform as multiplicative_uniform
from flaxnoise.functional import noisy_dense as noisy_dense
from flaxnoise.functional import residual_drop_path as residual_drop_path
from flaxnoise.functional import salt_and_pepper_noise as salt_and_pepper_noise
from flaxnoise.functional import spatial_dropout_1d as spatial_dropout_1d
from flaxnoise.functional import spatial_dropout_2d as spatial_dropout_2d
from flaxnoise.functional import spatial_dropout_3d as spatial_dropout_3d
from flaxnoise.functional import stop_gradient as stop_gradient
from flaxnoise.functional import token_dropout as token_dropout
from flaxnoise.functional import uniform_noise as uniform_noise
from flaxnoise.functional import variational_dropout as variational_dropout
from flaxnoise.functional import variational_dropout_kl as variational_dropout_kl
from flaxnoise.functional import word_dropout as word_dropout
from flaxnoise.transforms import MonteCarlo as MonteCarlo
from flaxnoise.transforms import mc_apply as mc_apply
from flaxnoise.transforms import per_example as per_example

__version__ = "0.1.0"
