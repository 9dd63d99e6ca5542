"""The suite scaling: training steps with and without dropout on 1, 2, 4 and 8 simulated devices.

A step is a forward and a backward pass through three dense layers of 512 units, data parallel. The
global batch is fixed (strong scaling), since simulated devices share the cores of one machine. Each
record has the number of collectives in the compiled program.

An estimate for 256 and 8192 devices: a device draws the noise of its own elements, in c·N/D seconds
for N elements on D devices, and communicates nothing, since the start of its shard follows from its
position on the mesh. So

    t(D) = compute·N/D + c·layers·N/D + all-reduce of the gradients(D)

and the share of noise falls with D if N is fixed, and is constant if N grows with D. For a batch of
2^22 tokens, width 8192 and bfloat16, N = 2^35: 2^27 elements per device at D = 256, 2^22 at 8192.
On an H100 (3.35 TB/s, 4 bytes per element) an unfused dropout takes 160 µs and 5 µs in each of the
two passes; the three matrix products of a dense layer, 6·N·8192/D operations, take 6.6 ms and
0.2 ms at 10^15 per second: noise adds 5 % at either size. N > 2^32 needs 64-bit indices, which the
generator has. Masks made on one device would be 4 GiB per layer, sent over one link.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import flaxnoise
from bench.contenders import dropout
from bench.measure import Contender, Program, Record, Row, Setting, WrongError
from bench.programs import Function, blocking, compiled

ROWS, WIDTH, LAYERS = 1024, 512, 3
COLLECTIVE = re.compile(r"= .*? (?:all-\w+|collective-\w+|reduce-scatter)(?:-start)?\(")
# (library, variant) → the noise, and whether partition_kernels is on.
VARIANTS: dict[tuple[str, str], tuple[Function | None, bool]] = {
    ("none", ""): (None, False),
    ("flaxnoise", "xla"): (dropout, False),
    ("flaxnoise", "partition_kernels"): (dropout, True),
}


def rows(quick: bool, only: str) -> Iterator[Row]:
    for count in (1, 2, 4, 8)[: 2 if quick else 4]:
        if count <= jax.device_count() and only in "dense layers":
            setting = Setting((ROWS, WIDTH), direction="gradient", mode=f"{count} devices")
            yield Row(setting, [contender(count, *names) for names in VARIANTS])


def contender(devices: int, library: str, variant: str) -> Contender:
    noise, kernels = VARIANTS[library, variant]

    def build(setting: Setting) -> Program:
        axes = (jax.sharding.AxisType.Auto,)
        mesh = jax.make_mesh((devices,), ("data",), axes, devices=jax.devices()[:devices])
        spec = jax.sharding.PartitionSpec
        replicated, sharded = (
            jax.sharding.NamedSharding(mesh, spec(*names)) for names in ((), ("data",))
        )
        key = jax.random.key(0)
        weights = jax.random.normal(key, (LAYERS, WIDTH, WIDTH)) / WIDTH**0.5
        keys = jax.random.split(key, LAYERS)
        x = jax.device_put(jnp.ones(setting.shape), sharded)
        arguments = (*jax.device_put((weights, keys), replicated), x)
        facts: Record = {}
        flaxnoise.partition_kernels(kernels)
        try:
            program = compiled(step(noise), arguments, facts)
        finally:
            flaxnoise.partition_kernels(False)
        facts["collectives"] = len(COLLECTIVE.findall(_text(program)))

        def check_gradient() -> None:
            expected = jax.jit(step(noise))(*jax.tree.map(np.asarray, (weights,)), keys, _host(x))
            if not np.allclose(program(*arguments), expected, rtol=1e-3, atol=1e-6):
                raise WrongError(f"the gradient on {devices} devices is not that on one")

        return Program(blocking(lambda: program(*arguments)), check_gradient, facts=facts)

    return Contender("dense layers", library, variant, build)


def _host(x: jax.Array) -> np.ndarray:
    return np.asarray(x)


def _text(program: Any) -> str:
    return program.as_text()


def step(noise: Function | None) -> Callable[..., jax.Array]:
    """Returns the function (weights, keys, x) -> the gradient in the weights."""

    def loss(weights: jax.Array, keys: jax.Array, x: jax.Array) -> jax.Array:
        for layer, key in zip(weights, keys, strict=True):
            x = jax.nn.relu(x @ layer)
            if noise is not None:
                x = noise(key, x)
        return jnp.mean(x**2)

    return jax.grad(loss)
