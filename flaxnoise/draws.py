"""Lists the random draws of a program, their locations in the source and who computes them."""

import dataclasses
import inspect
import itertools
import sys
import types
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
from jax.extend.core import Jaxpr, JaxprEqn, jaxprs_in_params

from flaxnoise import functional, random

_PUBLIC = {
    name
    for module in (functional, random)
    for name, value in vars(module).items()
    if inspect.isfunction(value)
}
_FOLDERS = {
    name: str(Path(spec.origin).parent)
    for name in ("jax", "flax", "flaxnoise")
    if (spec := find_spec(name)) is not None and spec.origin is not None
}
_REPLACING = str(Path(_FOLDERS["flaxnoise"], "replacement"))
_OURS = "flaxnoise_affine"
_JAX = "random_bits"


@dataclasses.dataclass(frozen=True)
class Draw:
    """One random draw.

    Attributes:
        function: name of the function called, such as "dropout" or "jax.random.bernoulli".
        computed_by: "flaxnoise", or "flax" or "client" for calls of jax.random in their code.
        generator: "flaxnoise", or the key's implementation as jax abbreviates it: "fry" for
            threefry.
        shape: shape of the values drawn, or of x for a function of flaxnoise.
        module: path of the Flax module, from jax's name stack; "" if there is none.
        replaces_flax: whether ``replace_dropout`` has put it in place of a draw of Flax.
        source: "file:line (function)", the innermost line outside jax, flax and flaxnoise.
    """

    function: str
    computed_by: str
    generator: str
    shape: tuple[int, ...]
    module: str
    replaces_flax: bool
    source: str

    def __str__(self) -> str:
        where = f"{self.module} at {self.source}" if self.module else self.source
        return f"{self.function}{list(self.shape)} by {self.computed_by}, {where}"


def dropouts(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Draw, ...]:
    """Lists the random draws of a call, with their source lines and who computes them.

    Use it to find the draws of a model that flaxnoise does not compute: dropout of Flax, or the
    model's own. The call is traced but not executed. A draw inside a scan or a loop is listed once.
    Dropout that is deterministic in this call is not listed.

    Args:
        function: a function, such as linen's ``model.apply`` or a training step, or an nnx.Module.
        *args: positional arguments of the function; nnx modules among them do not change.
        **kwargs: keyword arguments of the function.

    Returns:
        The draws, in the order of the program.

    Example:
        >>> def noisy(key, x):
        ...     return flaxnoise.dropout(key, x, 0.5) + jax.random.normal(key, x.shape)
        >>> [(draw.function, draw.computed_by) for draw in flaxnoise.dropouts(noisy, key, x)]
        [('dropout', 'flaxnoise'), ('jax.random.normal', 'client')]
    """
    return tuple(_draws(_traced(function, args, kwargs), ()))


def _traced(function: Callable[..., Any], args: Any, kwargs: Any) -> Jaxpr:
    if isinstance(function, types.MethodType):
        function, args = function.__func__, (function.__self__, *args)
    nnx: Any = sys.modules.get("flax.nnx")
    if nnx is None:  # not imported, so there are no nnx modules
        return jax.make_jaxpr(lambda: _arrays(function(*args, **kwargs)))().jaxpr
    # Calls a copy of the modules, so that the streams of the given ones do not advance.
    graph, state = nnx.split((function, args, kwargs))

    def call(state: Any) -> list[jax.Array]:
        function, args, kwargs = nnx.merge(graph, state)
        return _arrays(function(*args, **kwargs))

    return jax.make_jaxpr(call)(state).jaxpr


def _arrays(tree: Any) -> list[jax.Array]:
    return [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)]


def _draws(jaxpr: Jaxpr, outer: tuple[JaxprEqn, ...]) -> Iterator[Draw]:
    for equation in jaxpr.eqns:
        chain = (*outer, equation)
        if equation.primitive.name in (_OURS, _JAX):
            yield _draw(chain)
        else:
            for inner in jaxprs_in_params(equation.params):
                yield from _draws(inner, chain)


def _draw(chain: tuple[JaxprEqn, ...]) -> Draw:
    draw = chain[-1]
    # Equations of a cached trace have no location, or that of an earlier call. The innermost
    # equation with frames outside of jax gives the location of this call.
    located = [number for number, equation in enumerate(chain) if _frames(equation)]
    call = located[-1] if located else 0
    # A jaxpr that jax traces later has a truncated call stack, so the outer ones are appended.
    frames = [frame for equation in reversed(chain[: call + 1]) for frame in _frames(equation)]
    ours = list(itertools.takewhile(lambda frame: _package(frame) == "flaxnoise", frames))
    client = [frame for frame in frames if not _package(frame)]
    lines = [
        f"{each.file_name}:{each.line_num} ({each.function_name})" for each in client or frames
    ]
    scopes = "/".join(str(each.source_info.name_stack) for each in chain)
    is_ours = draw.primitive.name == _OURS
    return Draw(
        function=_our_function(ours) if is_ours else _function_of_jax(chain[call:]),
        computed_by="flaxnoise" if is_ours else next(map(_package, frames), "") or "client",
        generator="flaxnoise" if is_ours else _generator(draw),
        shape=tuple(getattr(draw.outvars[0].aval, "shape", ())),
        module="/".join(scope for scope in scopes.split("/") if scope),
        replaces_flax=is_ours and any(_REPLACING in each.file_name for each in ours),
        source=lines[0] if lines else "",
    )


def _frames(equation: JaxprEqn) -> list[Any]:
    """The frames of an equation's traceback outside of jax, innermost first."""
    traceback = equation.source_info.traceback
    return [frame for frame in traceback.frames if _package(frame) != "jax"] if traceback else []


def _package(frame: Any) -> str:
    for name, folder in _FOLDERS.items():
        if Path(frame.file_name).is_relative_to(folder):
            return name
    return "jax" if frame.file_name.startswith(("<frozen", "<string>")) else ""


def _our_function(frames: list[Any]) -> str:
    """The outermost public function among frames of flaxnoise."""
    names = [frame.function_name for frame in frames]
    return next((name for name in reversed(names) if name in _PUBLIC), "flaxnoise")


def _generator(draw: JaxprEqn) -> str:
    dtype = str(getattr(draw.invars[0].aval, "dtype", ""))
    return dtype.removeprefix("key<").removesuffix(">")


def _function_of_jax(chain: tuple[JaxprEqn, ...]) -> str:
    name = next((each.params["name"] for each in chain if "name" in each.params), "_bits")
    return f"jax.random.{name.lstrip('_')}"
