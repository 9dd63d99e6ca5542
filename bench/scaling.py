"""Training steps with and without dropout on 1, 2, 4 and 8 simulated devices.

The step is forward and backward through three dense layers of 512 units, data parallel; each device
has its share of one global batch (strong scaling), as this machine's cores do not multiply. The
facts of a record say how many collectives the compiled program has.

On paper, at 256 and at 8192 devices: a device draws the noise of the elements that it holds, c·N/D
seconds for N elements on D devices, and communicates nothing, since the start of its shard follows
from its position. So

    t(D) = compute·N/D + c·layers·N/D + all-reduce of the gradients(D)

and the share of noise falls with D where N is fixed, and stays where N grows with D. For a batch of
2^22 tokens, width 8192 and bfloat16, N = 2^35: 2^27 elements a device at D = 256, 2^22 at 8192. On
an H100 (3.35 TB/s, 4 bytes an element) a dropout that fuses with nothing takes 160 µs and 5 µs,
and as much in the backward pass; the three products of a dense layer, 6·N·8192/D operations, take
6.6 ms and 0.2 ms at 10^15 a second: noise is 5 % of it at either size. N > 2^32 needs indices of
64 bits, which the generator has. Masks made on one device would be 4 GiB a layer, over one link.
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
# Library and variant → the noise, and whether kernels run on each shard of an automatic mesh.
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
    """(weights, keys, x) -> the gradient in the weights."""

    def loss(weights: jax.Array, keys: jax.Array, x: jax.Array) -> jax.Array:
        for layer, key in zip(weights, keys, strict=True):
            x = jax.nn.relu(x @ layer)
            if noise is not None:
                x = noise(key, x)
        return jnp.mean(x**2)

    return jax.grad(loss)
