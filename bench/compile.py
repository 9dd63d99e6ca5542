"""The suite compile: seconds to trace, lower and compile many equal layers; length of their text.

Layers of a sine and dropout, which XLA may fuse into one kernel, and layers of Dense, tanh and
dropout; the programs and their gradients. Compiles for the CPU, and ahead of time for H100 and v5e
if their wheels are installed. Nothing is run, so there is no result to check; the jaxpr must
contain the noise of the contender.
"""

import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from bench import aot
from bench.contenders import DEFAULT_KEY, dropout, flax_dropout, on_backend
from bench.measure import Contender, Program, Record, Row, Setting, WrongError
from bench.programs import Function

SHAPE = (64, 1024)
FEATURES = 256  # of the Dense layers
DENSE = "Dense layers"

# Number and kind of layers, and rounds; 3 rounds for gradients. XLA for v5e takes about a second
# for a Dense layer, so there are fewer of these, and few rounds.
ROWS = ((24, "layers", 7), (6, DENSE, 3))
FORWARD, GRADIENT = "compile", "compile the gradient"

# (library, variant) → the layer. Ours is timed on the platform's default backend and on xla, which
# is used in exports and on automatic meshes.
LAYER: dict[tuple[str, str], Function] = {
    ("flaxnoise", ""): dropout,
    ("flaxnoise", "xla"): on_backend("xla", dropout),
    ("flax.linen", DEFAULT_KEY): flax_dropout,
}
AHEAD_OF_TIME = {"gpu": "h100", "tpu": "v5e"}


def rows(quick: bool, only: str) -> Iterator[Row]:
    device = AHEAD_OF_TIME.get(aot.target(), jax.default_backend())
    for count, kind, rounds in ROWS[: 1 if quick else None]:
        work = f"{count} {kind}"
        for direction in (FORWARD,) if quick else (FORWARD, GRADIENT):
            if only in work:
                shape = (SHAPE[0], FEATURES) if kind == DENSE else SHAPE
                setting = Setting(shape, direction=direction, mode=device)
                contenders = [contender(work, *names) for names in LAYER]
                yield Row(setting, contenders, rounds if direction == FORWARD else 3)


def contender(work: str, library: str, variant: str) -> Contender:
    layer = LAYER[library, variant]
    count = int(work.split()[0])

    def plain(key: jax.Array, x: jax.Array) -> jax.Array:
        for i in range(count):
            x = layer(jax.random.fold_in(key, i), jnp.sin(x))
        return x

    def dense(key: jax.Array, x: jax.Array, weights: jax.Array) -> jax.Array:
        for i in range(count):
            x = layer(jax.random.fold_in(key, i), jnp.tanh(x @ weights[i]))
        return x

    def build(setting: Setting) -> Program:
        sharding, platform = _target(setting.mode)
        many = dense if DENSE in work else plain
        key = jax.eval_shape(lambda: jax.random.PRNGKey(0))
        shapes = [setting.shape, *([(count, FEATURES, FEATURES)] if DENSE in work else [])]
        types = [key, *(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)]
        arguments = [jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding) for a in types]
        facts: Record = {}

        def total(*arrays: jax.Array) -> jax.Array:
            return many(*arrays).sum()

        gradient = jax.grad(total, argnums=tuple(range(1, len(arguments))))
        program = gradient if setting.direction == GRADIENT else many

        def run() -> None:
            jax.clear_caches()
            start = time.perf_counter()
            lowered = jax.jit(program).trace(*arguments).lower(lowering_platforms=(platform,))
            facts["lower"] = time.perf_counter() - start
            facts["text"] = len(lowered.as_text())
            lowered.compile()

        def check_text() -> None:
            traced = str(jax.make_jaxpr(program)(*arguments))
            drawn = ("flaxnoise_affine" in traced, "random_bits" in traced)
            if drawn != (library == "flaxnoise", library == "flax.linen"):
                raise WrongError("the program does not draw the noise of this contender")

        return Program(run, check_text, lambda _: None, facts)

    return Contender(work, library, variant, build)


def _target(device: str) -> tuple[jax.sharding.Sharding | None, str]:
    """Returns a sharding on the device, and its platform as jax's lowering names it."""
    if device in aot.GPUS:
        from bench.aot import gpu

        return jax.sharding.SingleDeviceSharding(gpu.topology(device).devices[0]), "cuda"
    if device in aot.TPUS:
        from bench.aot import tpu

        return jax.sharding.SingleDeviceSharding(tpu.topology(device).devices[0]), "tpu"
    return None, "cuda" if device == "gpu" else device
