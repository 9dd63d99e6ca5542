"""A backend as a function of operands, without the primitive and the choice around it."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from flaxnoise.backends.contract import Backend, Call, result


def form(backend: Backend, **params: Any) -> Callable[[Mapping[str, jax.Array]], jax.Array]:
    """What the backend computes of operands in a call with these parameters, those of Call.of."""
    return lambda operands: result(backend, Call.of(operands, **params), operands)
