"""Maps from random words to noise, with the same arithmetic in every backend.

They use no libm and no gathers, and convert from int32 to float32 only, so that every backend can
take the same steps. The polynomials come from scripts/fit_polynomials.py.
"""

import jax
import jax.numpy as jnp

# Coefficients, lowest degree first; each is a float32.
LOG = (
    -2.0,
    0.9999983310699463,
    -0.6666839718818665,
    0.5001144409179688,
    -0.3991292417049408,
    0.33006006479263306,
    -0.2982828617095947,
    0.29366087913513184,
    -0.18287260830402374,
)  # −2·log1p(f)/f on [√½ − 1, √2 − 1)
SIN = (
    0.7853981852531433,
    -0.08074571192264557,
    0.0024906478356570005,
    -3.635127723100595e-05,
)  # sin(π/4·t)/t in t²
COS = (
    1.0,
    -0.3084244132041931,
    0.01585014909505844,
    -0.0003189770213793963,
)  # cos(π/4·t) in t²

_SQRT_HALF_BITS = 0x3F3504F3
_MINUS_2_LN_2 = -1.3862943611198906
_BELOW_1 = 1 - 2.0**-24


def keep(u: jax.Array, threshold: jax.Array) -> jax.Array:
    """True where the upper 31 bits of u, as an integer, are at least the threshold."""
    return (u >> jnp.uint32(1)) >= threshold


def uniform(word: jax.Array) -> jax.Array:
    """n = (k + ½)·2^-23, k the upper 24 bits as a signed integer: uniform on the open (−1, 1)."""
    return (_signed(word, 8) + jnp.float32(0.5)) * jnp.float32(2.0**-23)


def unit_uniform(word: jax.Array) -> jax.Array:
    """u = (k + ½)·2^-23, k the upper 23 bits: uniform on the open interval (0, 1)."""
    k = (word >> jnp.uint32(9)).astype(jnp.int32).astype(jnp.float32)
    return (k + jnp.float32(0.5)) * jnp.float32(2.0**-23)


def normal(a: jax.Array, b: jax.Array, odd: jax.Array) -> jax.Array:
    """n = √(−2 ln u)·(cos θ or sin θ), u from word a and θ from word b (Box and Muller 1958).

    The upper bits of b give an angle that is uniform on a quarter turn around 0. Bit 1 swaps sine
    and cosine and bit 0 negates both, which extends it to a full turn. The angles are odd multiples
    of half a step, so that n is never 0. |n| ≤ 6.67.

    Args:
        a: uint32 words for the radius; 31 bits are used.
        b: uint32 words for the angle; 25 bits are used.
        odd: bool; False for the first normal of a pair of words, True for the second.
    """
    t = (_signed(b, 9) + jnp.float32(0.5)) * jnp.float32(2.0**-22)
    z = t * t
    swap = (b & jnp.uint32(2)) != jnp.uint32(0)
    direction = jnp.where(odd ^ swap, t * _polynomial(z, SIN), _polynomial(z, COS))
    return _negate_where(jnp.sqrt(_minus_2_log(a)) * direction, b << jnp.uint32(31))


def laplace(word: jax.Array) -> jax.Array:
    """n = ∓ln u, u from the upper 31 bits as in ``normal``; negative if the lowest bit is set.

    Density exp(−|n|)/2. Never 0, never infinite, 2^-24 ≤ |n| ≤ 22.2.
    """
    return _negate_where(jnp.float32(0.5) * _minus_2_log(word), word << jnp.uint32(31))


def _minus_2_log(a: jax.Array) -> jax.Array:
    """−2 ln u, u = (a >> 1 + ½)·2^-31 rounded to float32 and kept below 1."""
    v = (a >> jnp.uint32(1)).astype(jnp.int32).astype(jnp.float32)
    u = jnp.minimum((v + jnp.float32(0.5)) * jnp.float32(2.0**-31), jnp.float32(_BELOW_1))
    i = _bits(u, jnp.int32) - jnp.int32(_SQRT_HALF_BITS)
    e = (i >> jnp.int32(23)).astype(jnp.float32)
    m = _bits((i & jnp.int32(0x7FFFFF)) + jnp.int32(_SQRT_HALF_BITS), jnp.float32)
    f = m - jnp.float32(1)
    return e * jnp.float32(_MINUS_2_LN_2) + f * _polynomial(f, LOG)


def _signed(word: jax.Array, shift: int) -> jax.Array:
    """The upper 32 − shift bits as a signed integer, in float32."""
    # A conversion: after a bitcast from uint32, Mosaic GPU treats the int32 as unsigned.
    return (word.astype(jnp.int32) >> jnp.int32(shift)).astype(jnp.float32)


def _polynomial(x: jax.Array, coefficients: tuple[float, ...]) -> jax.Array:
    """Horner's rule."""
    y = jnp.float32(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        y = y * x + jnp.float32(coefficient)
    return jnp.asarray(y)


def _negate_where(x: jax.Array, sign: jax.Array) -> jax.Array:
    return _bits(_bits(x, jnp.uint32) ^ sign, jnp.float32)


def _bits(x: jax.Array, dtype: jax.typing.DTypeLike) -> jax.Array:
    return jax.lax.bitcast_convert_type(x, dtype)
