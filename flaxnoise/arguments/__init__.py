"""Arguments, checked once for every function and layer, with one text for each mistake."""

from flaxnoise.arguments.arrays import floating as floating
from flaxnoise.arguments.arrays import inexact as inexact
from flaxnoise.arguments.arrays import integers as integers
from flaxnoise.arguments.keys import key_batch as key_batch
from flaxnoise.arguments.keys import key_words as key_words
from flaxnoise.arguments.keys import single_key as single_key
from flaxnoise.arguments.parameters import finite as finite
from flaxnoise.arguments.parameters import is_zero as is_zero
from flaxnoise.arguments.parameters import nonnegative as nonnegative
from flaxnoise.arguments.parameters import positive as positive
from flaxnoise.arguments.parameters import rate as rate
from flaxnoise.arguments.parameters import real as real
from flaxnoise.arguments.parameters import static_rate as static_rate
from flaxnoise.arguments.shapes import at_least_dimensions as at_least_dimensions
from flaxnoise.arguments.shapes import broadcastable as broadcastable
from flaxnoise.arguments.shapes import count as count
from flaxnoise.arguments.shapes import dimensions as dimensions
from flaxnoise.arguments.shapes import of_shape as of_shape
from flaxnoise.arguments.shapes import one_of as one_of
from flaxnoise.arguments.shapes import sides as sides
