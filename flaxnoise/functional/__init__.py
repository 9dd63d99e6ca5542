"""Noise as pure functions of a key: arguments checked → coefficients → the affine primitive."""

from flaxnoise.functional.gaussian import gaussian_dropout as gaussian_dropout
from flaxnoise.functional.gaussian import gaussian_noise as gaussian_noise
from flaxnoise.functional.gaussian import masked_gaussian_noise as masked_gaussian_noise
from flaxnoise.functional.gradient import stop_gradient as stop_gradient
from flaxnoise.functional.zeroing import dropout as dropout
