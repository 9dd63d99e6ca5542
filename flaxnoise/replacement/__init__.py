"""Replaces Flax's dropout by flaxnoise in existing models, for linen and nnx."""

from flaxnoise.replacement.attention import dot_product_attention as dot_product_attention
from flaxnoise.replacement.attention import is_attention as is_attention
from flaxnoise.replacement.context import replaced as replaced
from flaxnoise.replacement.dropout import call_dropout as call_dropout
from flaxnoise.replacement.function import Inspection as Inspection
from flaxnoise.replacement.function import Replaced as Replaced
from flaxnoise.replacement.function import ReplacedMethod as ReplacedMethod
from flaxnoise.replacement.report import Report as Report
from flaxnoise.replacement.report import tell as tell
