"""Random draws from the stream, and keys that use it.

The functions return the noise that flaxnoise's functions use under the same key. Unlike in
jax.random, an element's noise depends only on the key and on the element's linear index. ``key``
makes keys with which jax.random itself and Flax's layers draw from the stream.
"""

from flaxnoise.random.keys import IMPL as IMPL
from flaxnoise.random.keys import key as key
from flaxnoise.random.values import bits as bits
from flaxnoise.random.values import keep_mask as keep_mask
from flaxnoise.random.values import laplace as laplace
from flaxnoise.random.values import normal as normal
from flaxnoise.random.values import realised_rate as realised_rate
from flaxnoise.random.values import signed_uniform as signed_uniform
from flaxnoise.random.values import uniform as uniform
