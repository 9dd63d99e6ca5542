"""chex assertions about noise and gradients, for flaxnoise's and any other layers.

Each assertion takes functions and arguments, calls the functions, and raises an AssertionError that
says what is wrong and where. It accepts chex's keywords, such as custom_message, and is disabled by
``chex.disable_asserts()``. To test a layer, wrap it in a function with the key as an argument:
``lambda key, x: layer.apply({}, x, rngs={"dropout": key})``.
"""

from flaxnoise.testing.gradients import assert_no_noise_residuals as assert_no_noise_residuals
from flaxnoise.testing.gradients import assert_same_gradient as assert_same_gradient
from flaxnoise.testing.gradients import assert_stops_gradient as assert_stops_gradient
from flaxnoise.testing.values import assert_identity as assert_identity
from flaxnoise.testing.values import assert_same_noise as assert_same_noise
from flaxnoise.testing.values import assert_same_type as assert_same_type
from flaxnoise.testing.values import assert_traced_once as assert_traced_once
from flaxnoise.testing.values import assert_unbiased as assert_unbiased
