"""The suite compile: seconds to trace, lower and compile many equal layers; length of their text.

Compiles for the CPU, and ahead of time for H100 and v5e if their wheels are installed. Nothing is
run, so there is no result to check; the jaxpr must contain the noise of the contender.
"""

import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from bench import aot
from bench.contenders import DEFAULT_KEY, dropout, flax_dropout, on_backend
from bench.measure import Contender, Program, Record, Row, Setting, WrongError
from bench.programs import Function

LAYERS = 24
SHAPE = (64, 1024)


# (library, variant) → the layer. Ours is timed on the platform's default backend and on xla, which
# is used in exports and on automatic meshes.
LAYER: dict[tuple[str, str], Function] = {
    ("flaxnoise", ""): dropout,
    ("flaxnoise", "xla"): on_backend("xla", dropout),
    ("flax.linen", DEFAULT_KEY): flax_dropout,
}
AHEAD_OF_TIME = {"gpu": "h100", "tpu": "v5e"}


def rows(quick: bool, only: str) -> Iterator[Row]:
    work, device = f"{LAYERS} layers", AHEAD_OF_TIME.get(aot.target(), jax.default_backend())
    if only in work:
        setting = Setting(SHAPE, direction="compile", mode=device)
        yield Row(setting, [contender(work, *names) for names in LAYER])


def contender(work: str, library: str, variant: str) -> Contender:
    layer = LAYER[library, variant]

    def many(key: jax.Array, x: jax.Array) -> jax.Array:
        for i in range(LAYERS):
            x = layer(jax.random.fold_in(key, i), jnp.sin(x))
        return x

    def build(setting: Setting) -> Program:
        device = setting.mode
        sharding, platform = _target(device)
        arguments = [
            jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding)
            for a in (jax.eval_shape(lambda: jax.random.PRNGKey(0)), jnp.zeros(setting.shape))
        ]
        facts: Record = {}

        def run() -> None:
            jax.clear_caches()
            start = time.perf_counter()
            lowered = jax.jit(many).trace(*arguments).lower(lowering_platforms=(platform,))
            facts["lower"] = time.perf_counter() - start
            facts["text"] = len(lowered.as_text())
            lowered.compile()

        def check_text() -> None:
            run()
            traced = str(jax.make_jaxpr(many)(*arguments))
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
