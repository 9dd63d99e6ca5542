"""The layers for Flax nnx. Dropout is a drop-in replacement for flax.nnx.Dropout.

With ``deterministic=True``, as in evaluation, a layer returns its inputs. Otherwise it calls its
function with the next key of its stream: one key per call, at every rate.

The value of a schedule goes in at call time. It may be traced, so that no change of it compiles
anything again:

    >>> import optax
    >>> from flax import nnx
    >>> from flaxnoise.nnx import Dropout, GaussianNoise
    >>> schedule = optax.linear_schedule(0.5, 0.0, transition_steps=1000)
    >>> apply = nnx.jit(lambda dropout, x, step: dropout(x, rate=schedule(step)))
    >>> y = apply(Dropout(rngs=nnx.Rngs(0)), x, step=jnp.array(10))

To learn an argument, pass it as an nnx.Param:

    >>> noise = GaussianNoise(nnx.Param(0.1), rngs=nnx.Rngs(0))
    >>> gradients = nnx.grad(lambda noise: jnp.mean(noise(x) ** 2))(noise)
    >>> gradients.stddev.shape
    ()
"""

from flaxnoise.nnx.additive import LaplaceNoise as LaplaceNoise
from flaxnoise.nnx.additive import MultiplicativeUniform as MultiplicativeUniform
from flaxnoise.nnx.additive import SaltAndPepperNoise as SaltAndPepperNoise
from flaxnoise.nnx.additive import UniformNoise as UniformNoise
from flaxnoise.nnx.alpha import AlphaDropout as AlphaDropout
from flaxnoise.nnx.alpha import FeatureAlphaDropout as FeatureAlphaDropout
from flaxnoise.nnx.attention import dot_product_attention as dot_product_attention
from flaxnoise.nnx.block import DropBlock1D as DropBlock1D
from flaxnoise.nnx.block import DropBlock2D as DropBlock2D
from flaxnoise.nnx.block import DropBlock3D as DropBlock3D
from flaxnoise.nnx.depth import DropPath as DropPath
from flaxnoise.nnx.dropout import AttentionDropout as AttentionDropout
from flaxnoise.nnx.dropout import ConsistentDropout as ConsistentDropout
from flaxnoise.nnx.dropout import Dropout as Dropout
from flaxnoise.nnx.dropout import SpatialDropout1D as SpatialDropout1D
from flaxnoise.nnx.dropout import SpatialDropout2D as SpatialDropout2D
from flaxnoise.nnx.dropout import SpatialDropout3D as SpatialDropout3D
from flaxnoise.nnx.gaussian import GaussianDropout as GaussianDropout
from flaxnoise.nnx.gaussian import GaussianNoise as GaussianNoise
from flaxnoise.nnx.gaussian import MaskedGaussianNoise as MaskedGaussianNoise
from flaxnoise.nnx.gradient import ActivityRegularization as ActivityRegularization
from flaxnoise.nnx.gradient import GradientNoise as GradientNoise
from flaxnoise.nnx.gradient import GradientReversal as GradientReversal
from flaxnoise.nnx.gradient import GradientScale as GradientScale
from flaxnoise.nnx.gradient import StopGradient as StopGradient
from flaxnoise.nnx.learned import ConcreteDropout as ConcreteDropout
from flaxnoise.nnx.learned import NoisyDense as NoisyDense
from flaxnoise.nnx.learned import VariationalDropout as VariationalDropout
from flaxnoise.nnx.replacement import replace_dropout as replace_dropout
from flaxnoise.nnx.tokens import TokenDropout as TokenDropout
from flaxnoise.nnx.tokens import WordDropout as WordDropout
from flaxnoise.nnx.weights import WeightNoise as WeightNoise
