"""The affine primitive and what functions and random draws are built from.

Importing this package registers the rules of the primitive with jax.
"""

from flaxnoise.affine import attention as attention
from flaxnoise.affine import batching, differentiation, lowering
from flaxnoise.affine.call import Location as Location
from flaxnoise.affine.call import apply as apply
from flaxnoise.affine.call import draw as draw
from flaxnoise.affine.call import here as here
from flaxnoise.affine.call import precision as precision
from flaxnoise.affine.call import reduced as reduced
from flaxnoise.affine.primitive import affine as affine
from flaxnoise.affine.primitive import affine_p as affine_p
from flaxnoise.affine.private import FLAT as FLAT
from flaxnoise.affine.private import weakly_typed_as as weakly_typed_as
from flaxnoise.affine.shard import is_shard as is_shard
from flaxnoise.affine.shard import linear_index as linear_index
from flaxnoise.affine.shard import shard_of as shard_of
from flaxnoise.affine.shard import without_local_shard as without_local_shard
from flaxnoise.backends.choice import forced_backend as forced_backend
from flaxnoise.backends.choice import has_attention as has_attention
from flaxnoise.stream.kinds import DOMAINS as DOMAINS
from flaxnoise.stream.sizes import static_sizes as static_sizes
from flaxnoise.stream.threshold import keep_scale as keep_scale
from flaxnoise.stream.threshold import realised_rate as realised_rate
from flaxnoise.stream.threshold import threshold as threshold

__all__ = ["batching", "differentiation", "lowering"]
