"""Checks an installed wheel: the compiled kernel runs, and its noise is that of xla."""

import jax
import jax.numpy as jnp

import flaxnoise

assert flaxnoise.backends()["cpu"] == "available", flaxnoise.backends()
key, x = jax.random.key(0), jnp.linspace(-1, 1, 33 * 129).reshape(33, 129)
drop = jax.jit(lambda key, x: flaxnoise.dropout(key, x, 0.3))
assert "flaxnoise_affine" in drop.lower(key, x).as_text()
y, n = drop(key, x), flaxnoise.gaussian_noise(key, x, 1.0)
with flaxnoise.backend("xla"):
    assert (flaxnoise.dropout(key, x, 0.3) == y).all()
    # 8 ulp of a normal of at most 6.67: a compiler is free to fuse multiplications and additions.
    assert jnp.abs(flaxnoise.gaussian_noise(key, x, 1.0) - n).max() <= 8 * 2.0**-21
print("smoke: the kernel of", flaxnoise.__file__, "works")
