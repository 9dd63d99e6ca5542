"""The stream as values and as keys.

The functions give what those of flaxnoise use under the same key. Unlike with jax.random, an
element's numbers depend on the key and on the element's linear index alone. ``key`` makes keys with
which jax.random itself, and Flax's layers, draw by this stream.
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
