"""The layers for Flax linen. Dropout is a drop-in replacement for flax.linen.Dropout.

With ``deterministic=True``, as in evaluation, a layer returns its inputs. Otherwise it calls its
function with the next key of its stream: one key per call, at every rate.

Pass the value of a schedule at call time. It may be traced, so that changing it does not
recompile. Pass a learned parameter in the same way; the surrounding module owns it:

    >>> import optax
    >>> from flax import linen
    >>> from flaxnoise.linen import Dropout, GaussianNoise
    >>> class Model(linen.Module):
    ...     schedule: optax.Schedule
    ...
    ...     @linen.compact
    ...     def __call__(self, x, step, train):
    ...         x = Dropout(deterministic=not train)(x, rate=self.schedule(step))
    ...         stddev = self.param("stddev", linen.initializers.constant(0.1), x.shape[-1:])
    ...         return GaussianNoise(deterministic=not train)(x, stddev=stddev)
    >>> model = Model(optax.linear_schedule(0.5, 0.0, transition_steps=1000))
    >>> variables = model.init(key, x, 0, train=False)
    >>> y = model.apply(variables, x, jnp.array(10), train=True, rngs={"dropout": key})
"""

from flaxnoise.linen.additive import LaplaceNoise as LaplaceNoise
from flaxnoise.linen.additive import MultiplicativeUniform as MultiplicativeUniform
from flaxnoise.linen.additive import SaltAndPepperNoise as SaltAndPepperNoise
from flaxnoise.linen.additive import UniformNoise as UniformNoise
from flaxnoise.linen.alpha import AlphaDropout as AlphaDropout
from flaxnoise.linen.alpha import FeatureAlphaDropout as FeatureAlphaDropout
from flaxnoise.linen.attention import dot_product_attention as dot_product_attention
from flaxnoise.linen.block import DropBlock1D as DropBlock1D
from flaxnoise.linen.block import DropBlock2D as DropBlock2D
from flaxnoise.linen.block import DropBlock3D as DropBlock3D
from flaxnoise.linen.depth import DropPath as DropPath
from flaxnoise.linen.dropout import AttentionDropout as AttentionDropout
from flaxnoise.linen.dropout import ConsistentDropout as ConsistentDropout
from flaxnoise.linen.dropout import Dropout as Dropout
from flaxnoise.linen.dropout import SpatialDropout1D as SpatialDropout1D
from flaxnoise.linen.dropout import SpatialDropout2D as SpatialDropout2D
from flaxnoise.linen.dropout import SpatialDropout3D as SpatialDropout3D
from flaxnoise.linen.gaussian import GaussianDropout as GaussianDropout
from flaxnoise.linen.gaussian import GaussianNoise as GaussianNoise
from flaxnoise.linen.gaussian import MaskedGaussianNoise as MaskedGaussianNoise
from flaxnoise.linen.gradient import ActivityRegularization as ActivityRegularization
from flaxnoise.linen.gradient import GradientNoise as GradientNoise
from flaxnoise.linen.gradient import GradientReversal as GradientReversal
from flaxnoise.linen.gradient import GradientScale as GradientScale
from flaxnoise.linen.gradient import StopGradient as StopGradient
from flaxnoise.linen.learned import ConcreteDropout as ConcreteDropout
from flaxnoise.linen.learned import NoisyDense as NoisyDense
from flaxnoise.linen.learned import VariationalDropout as VariationalDropout
from flaxnoise.linen.replacement import replace_dropout as replace_dropout
from flaxnoise.linen.tokens import TokenDropout as TokenDropout
from flaxnoise.linen.tokens import WordDropout as WordDropout
from flaxnoise.linen.weights import WeightNoise as WeightNoise
