"""A backend as a function of its operands, without the primitive and the choice of backends."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from flaxnoise.backends.contract import Backend, Call, result


def form(backend: Backend, **params: Any) -> Callable[[Mapping[str, jax.Array]], jax.Array]:
    """Returns the function that a backend computes for a call with the parameters of Call.of."""
    return lambda operands: result(backend, Call.of(operands, **params), operands)
