"""The formula in jax.numpy, compiled by XLA."""
