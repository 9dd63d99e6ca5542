"""Builds contenders from jax functions, Keras layers, and torch and NumPy functions."""

import functools
import importlib
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench.check import check
from bench.measure import Contender, Program, Record, Setting

Function = Callable[[jax.Array, jax.Array], jax.Array]
Key = Callable[[], jax.Array]

_MODULES = {"jax.random": "jax"}  # library → the module to import, where its name differs


def load(library: str) -> Any:
    """Imports a library; raises ImportError if it is missing or Keras has another backend."""
    if library == "keras":
        os.environ.setdefault("KERAS_BACKEND", "jax")
    if library == "torch":
        # Its idle threads would spin, and their CPU time count as that of the next contender.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    module = importlib.import_module(_MODULES.get(library, library))
    if library == "keras" and module.backend.backend() != "jax":
        raise ImportError(f"KERAS_BACKEND is {module.backend.backend()}; set KERAS_BACKEND=jax")
    if library == "torch":
        module.set_num_threads(len(os.sched_getaffinity(0)))
    return module


def jax_contender(
    work: str, library: str, variant: str, function: Function, key: Key | None = None
) -> Contender:
    """A contender for a function (key, x) -> y, compiled before the first call.

    Args:
        work: name of the expectation.
        library: the library it belongs to.
        variant: the variant within the library.
        function: what is timed.
        key: makes the key; by default one of jax's default implementation.
    """
    key = key or functools.partial(jax.random.key, 1)
    build = functools.partial(_jax_program, work, function, key)
    return Contender(work, library, variant, build)


def _jax_program(work: str, function: Function, make_key: Key, setting: Setting) -> Program:
    key, x = make_key(), _input(setting.shape, setting.dtype)
    facts: Record = {"kept": kept(function, key, x)} if setting.mode == "jit" else {}
    arguments: tuple[jax.Array, ...] = (key, x)
    called: Callable[..., Any] = function
    if setting.direction == "gradient":
        called, arguments = with_gradient(function), (key, x, x)
    if setting.mode != "eager":
        called = compiled(called, arguments, facts, donate=setting.mode == "donated")
    run = functools.partial(called, *arguments)
    results = run
    if setting.mode == "donated":
        held = [called(key, jnp.copy(x))]

        def run() -> jax.Array:
            held[0] = called(key, held[0])
            return held[0]

        def results() -> Any:
            return called(key, jnp.copy(x))

    def check_results() -> None:
        arrays = jax.tree.leaves(results())
        check(work, setting, tuple(np.asarray(y.astype(jnp.float32)) for y in arrays))

    return Program(blocking(run), check_results, facts=facts)


def blocking(run: Callable[[], Any]) -> Callable[[], Any]:
    """Returns a call that blocks on CPU; on accelerators calls queue and the caller waits."""
    if jax.default_backend() != "cpu":
        return run
    return lambda: jax.block_until_ready(run())


def compiled(
    function: Callable[..., Any], arguments: Any, facts: Record, *, donate: bool = False
) -> Callable[..., Any]:
    """Compiles a function; the time and memory of the compiled program go into ``facts``."""
    start = time.perf_counter()
    lowered = jax.jit(function, donate_argnums=(1,) if donate else ()).lower(*arguments)
    program = lowered.compile()
    facts["compile"] = time.perf_counter() - start
    memory = program.memory_analysis()
    if memory is not None:
        facts["temporary"] = memory.temp_size_in_bytes
        facts["moved"] = memory.argument_size_in_bytes + memory.output_size_in_bytes
    return program


def with_gradient(function: Function) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """Returns the function (key, x, dy) -> (y, dx)."""

    def both(key: jax.Array, x: jax.Array, dy: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, pull = jax.vjp(lambda x: function(key, x), x)
        return y, pull(dy)[0]

    return both


@functools.lru_cache(maxsize=2)
def _input(shape: tuple[int, ...], dtype: str) -> jax.Array:
    """The input x, one array for all contenders of a row, so that caches treat them alike."""
    return jnp.asarray(Setting(shape).x(), dtype)


def kept(function: Function, key: jax.Array, x: jax.Array) -> float:
    """Returns the bytes per element that jit saves for a separate backward pass."""
    pull = jax.eval_shape(lambda x: jax.vjp(jax.jit(lambda x: function(key, x)), x)[1], x)
    leaves = [leaf for leaf in jax.tree.leaves(pull) if hasattr(leaf, "dtype")]
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves if leaf.size > 8) / x.size


def keras_contender(work: str, layer: str, parameter: float) -> Contender:
    """A contender for a Keras layer on JAX, jitted with explicit state (``stateless_call``)."""

    def build(setting: Setting) -> Program:
        made = getattr(load("keras").layers, layer)(parameter, seed=1, dtype=setting.dtype)
        made.build(setting.shape)

        def function(key: jax.Array, x: jax.Array) -> jax.Array:
            return made.stateless_call([], [jax.random.key_data(key)], x, training=True)[0]

        return _jax_program(work, function, lambda: jax.random.key(1), setting)

    return Contender(work, "keras", layer, build)


def torch_contender(
    work: str, variant: str, function: Callable[[Any, Any, bool], Any], *, in_place: bool = False
) -> Contender:
    """A contender for a function (torch, x, in_place) -> y, without torch.compile."""

    def build(setting: Setting) -> Program:
        torch = load("torch")
        device = {"cpu": "cpu", "gpu": "cuda"}.get(jax.default_backend())
        if device is None or (device == "cuda" and not torch.cuda.is_available()):
            raise NotImplementedError("torch does not have this device here")
        donated, gradient = setting.mode == "donated", setting.direction == "gradient"
        if donated and not in_place:
            raise NotImplementedError("has no form in place")
        torch.manual_seed(1)
        x = torch.from_numpy(setting.x()).to(device, getattr(torch, setting.dtype))
        dy = x.clone()
        if gradient:
            x.requires_grad_()

        def run(x: Any = x) -> tuple[Any, ...]:
            y = function(torch, x, donated)
            return (y, torch.autograd.grad(y, x, dy)[0]) if gradient else (y,)

        def check_results() -> None:
            results = run(dy if donated else x)
            check(work, setting, tuple(y.detach().float().cpu().numpy() for y in results))

        wait = torch.cuda.synchronize if device == "cuda" else lambda: None
        return Program(run, check_results, lambda _: wait())

    return Contender(work, "torch", variant, build)


def numpy_contender(
    work: str, variant: str, function: Callable[[np.random.Generator, np.ndarray], np.ndarray]
) -> Contender:
    """A contender for a function (generator, x) -> y, on one thread."""

    def build(setting: Setting) -> Program:
        if jax.default_backend() != "cpu":
            raise NotImplementedError("is timed on CPU alone")
        if setting.direction == "gradient" or setting.mode == "donated":
            raise NotImplementedError("has neither gradients nor a form in place")
        if setting.dtype != "float32":
            raise NotImplementedError(f"has no random {setting.dtype}")
        generator, x = np.random.Generator(np.random.SFC64(1)), setting.x()
        run = functools.partial(function, generator, x)
        return Program(run, lambda: check(work, setting, (run(),)), lambda _: None)

    return Contender(work, "numpy", variant, build)
