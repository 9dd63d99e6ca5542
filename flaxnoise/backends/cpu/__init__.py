"""The formula in C++, called through XLA's foreign function interface."""

from flaxnoise.backends.cpu.library import TARGET as TARGET
