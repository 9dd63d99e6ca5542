"""Time of a training step with and without dropout on 1, 2, 4 and 8 simulated devices.

    python bench/scaling.py
    python bench/scaling.py --kernels    with flaxnoise.partition_kernels(): kernels on each shard

The step is forward and backward through three dense layers of 512 units, data parallel; each device
keeps its share of one global batch (strong scaling), as the cores of this machine do not multiply.
Both sides run interleaved in one process; the share of noise is 1 − time without / time with.

What happens at 256 and at 8192 devices, on paper. A device draws the noise of the elements it
holds: a dropout costs it c·N/D, N elements in the global array, D devices and c the cost an
element (in DRAM, the time to read and write it), and communicates nothing: the start of its shard
comes from its own position by one multiplication an axis of the array. So

    t(D) = compute·N/D + c·layers·N/D + all-reduce of the gradients(D)

in which the share of noise falls with D where N stays, since the all-reduce does not shrink, and
stays where N grows with D, until the all-reduce hides it. For a batch of 2^22 tokens, width 8192
and bf16, N = 2^35: a device holds 2^27 elements at D = 256 and 2^22 at D = 8192. On an H100
(3.35 TB/s, 4 bytes an element) that is 160 µs and 5 µs for a dropout that fuses with nothing,
and as much again in the backward pass. The three products of a dense layer, 6·N·8192/D operations,
take 6.6 ms and 0.2 ms at 10^15 a second: noise is 5 % of it at either size, less where it fuses.
Indices need 64 bits there (N > 2^32), which the generator has. Nothing is kept for the backward
pass on any device, whatever D is. Masks made on one device and sent to the others would be 4 GiB a
layer, all through one link.
"""

import argparse
import re
import statistics
import time

import jax
import jax.numpy as jnp

import flaxnoise

WIDTH = 512
LAYERS = 3
COLLECTIVE = re.compile(r"= .*? (?:all-\w+|collective-\w+|reduce-scatter)(?:-start)?\(")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, nargs="*", default=[1, 2, 4, 8])
    parser.add_argument("--rows", type=int, default=1024, help="of the global batch")
    parser.add_argument("--kernels", action="store_true", help="per shard, see above")
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each number of devices")
    arguments = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", max(arguments.devices))
    flaxnoise.partition_kernels(arguments.kernels)

    print(f"jax {jax.__version__}, {arguments.rows}×{WIDTH} float32, {LAYERS} layers, medians")
    print("devices  without ms  with ms  share of noise  collectives added by noise")
    for devices in arguments.devices:
        without, with_noise, added = measure(devices, arguments)
        share = 1 - without / with_noise
        print(
            f"{devices:7}  {without * 1e3:10.2f}  {with_noise * 1e3:7.2f}  {share:14.1%}  "
            f"{added:26}"
        )


def measure(devices: int, arguments: argparse.Namespace) -> tuple[float, float, int]:
    """Seconds a step without and with dropout, and how many collectives the latter has more."""
    mesh = jax.make_mesh(
        (devices,), ("data",), (jax.sharding.AxisType.Auto,), devices=jax.devices()[:devices]
    )
    spec = jax.sharding.PartitionSpec
    whole, cut = (jax.sharding.NamedSharding(mesh, spec(*axes)) for axes in ((), ("data",)))
    key = jax.random.key(0)
    weights = jax.device_put(jax.random.normal(key, (LAYERS, WIDTH, WIDTH)) / WIDTH**0.5, whole)
    x = jax.device_put(jnp.ones((arguments.rows, WIDTH)), cut)
    keys = jax.device_put(jax.random.split(key, LAYERS), whole)
    steps = []
    for rate in (0.0, arguments.rate):
        steps.append(jax.jit(step, static_argnames="rate").lower(weights, x, keys, rate).compile())
    times: list[list[float]] = [[], []]
    for compiled in steps:
        jax.block_until_ready(compiled(weights, x, keys))
    end = time.perf_counter() + arguments.seconds
    while time.perf_counter() < end or len(times[1]) < 5:
        for compiled, seconds in zip(steps, times, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(compiled(weights, x, keys))
            seconds.append(time.perf_counter() - start)
    counts = [len(COLLECTIVE.findall(compiled.as_text())) for compiled in steps]
    without, with_noise = map(statistics.median, times)
    return without, with_noise, counts[1] - counts[0]


def step(weights: jax.Array, x: jax.Array, keys: jax.Array, rate: float) -> jax.Array:
    """The gradient in the weights."""

    def loss(weights: jax.Array) -> jax.Array:
        y = x
        for layer, key in zip(weights, keys, strict=True):
            y = jax.nn.relu(y @ layer)
            if rate > 0:
                y = flaxnoise.dropout(key, y, rate)
        return jnp.mean(y**2)

    return jax.grad(loss)(weights)


if __name__ == "__main__":
    main()
