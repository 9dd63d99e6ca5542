"""The form of Philox that XLA compiles best for each platform; all give the same words."""

from flaxnoise.stream.noise import Generator
from flaxnoise.stream.philox import philox4x32, philox4x32_in_halves, philox4x32_in_u64

_GENERATORS: dict[str, Generator] = {"cpu": philox4x32_in_u64, "tpu": philox4x32_in_halves}


def generator(platform: str) -> Generator:
    """The generator for a platform, as jax names it; "several" has that of GPUs."""
    return _GENERATORS.get(platform, philox4x32)
