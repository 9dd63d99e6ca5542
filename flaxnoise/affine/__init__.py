"""The primitive and its rules; importing this package registers them."""

from flaxnoise.affine import batching, differentiation, lowering
from flaxnoise.affine.primitive import affine as affine
from flaxnoise.affine.primitive import affine_p as affine_p
from flaxnoise.affine.shard import is_shard as is_shard
from flaxnoise.affine.shard import linear_index as linear_index
from flaxnoise.affine.shard import located as located
from flaxnoise.affine.shard import shard_of as shard_of
from flaxnoise.affine.shard import whole_arrays as whole_arrays
from flaxnoise.affine.weak import weakly_typed_as as weakly_typed_as

__all__ = [
    "affine",
    "affine_p",
    "batching",
    "differentiation",
    "is_shard",
    "linear_index",
    "located",
    "lowering",
    "shard_of",
    "weakly_typed_as",
    "whole_arrays",
]
