"""The primitive and its rules; importing this package registers them."""

from flaxnoise.affine import batching, differentiation, lowering
from flaxnoise.affine.primitive import affine as affine
from flaxnoise.affine.primitive import affine_p as affine_p
from flaxnoise.affine.shard import located as located

__all__ = ["affine", "affine_p", "batching", "differentiation", "located", "lowering"]
