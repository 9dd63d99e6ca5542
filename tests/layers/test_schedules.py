"""Parameters that follow a schedule: the step is traced once."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import flaxnoise.linen
import flaxnoise.nnx
from every import every
from layer_table import Row, two_rows

KEY = jax.random.key(5)
X = jax.random.normal(jax.random.key(3), (33, 129))
STEPS = 4
# All values are exact in float32, so they are the same whether compiled or not.
SCHEDULES = {
    "linear": optax.linear_schedule(0.75, 0.0, STEPS),
    "steps": optax.piecewise_constant_schedule(0.5, {1: 0.5, 2: 0.0}),
}

every_schedule = every("schedule", SCHEDULES.values(), ids=SCHEDULES)


@two_rows
@every_schedule
def test_an_nnx_step_traces_once_and_follows_the_schedule(row: Row, schedule: optax.Schedule):
    chex.clear_trace_counter()
    layer = getattr(flaxnoise.nnx, row.name)(rngs=nnx.Rngs(0))
    stream = nnx.Rngs(0).dropout.fork()

    @nnx.jit
    @chex.assert_max_traces(n=1)
    def step(layer: nnx.Module, x: jax.Array, i: jax.Array) -> jax.Array:
        return layer(x, **dict.fromkeys(row.fields, schedule(i)))

    for i in range(STEPS):
        expected = row.function(stream(), X, **dict.fromkeys(row.fields, schedule(i)))
        row.case.assert_equal(step(layer, X, jnp.array(i)), expected, X)


class Model(nn.Module):
    """A schedule as users write it: its value is passed to the call."""

    layer: type[nn.Module]
    schedule: optax.Schedule
    names: tuple[str, ...]

    @nn.compact
    def __call__(self, x: jax.Array, i: jax.Array) -> jax.Array:
        given = dict.fromkeys(self.names, self.schedule(i))
        return self.layer(deterministic=False, name="noise")(x, **given)


class Probe(nn.Module):
    @nn.compact
    def __call__(self) -> jax.Array:
        return Key(name="noise")()


class Key(nn.Module):
    def __call__(self) -> jax.Array:
        return self.make_rng("dropout")


@two_rows
@every_schedule
def test_a_linen_step_traces_once_and_follows_the_schedule(row: Row, schedule: optax.Schedule):
    chex.clear_trace_counter()
    model = Model(getattr(flaxnoise.linen, row.name), schedule, tuple(row.fields))

    @jax.jit
    @chex.assert_max_traces(n=1)
    def step(key: jax.Array, x: jax.Array, i: jax.Array) -> jax.Array:
        return model.apply({}, x, i, rngs={"dropout": key})

    for i in range(STEPS):
        rngs = {"dropout": jax.random.fold_in(KEY, i)}
        key = Probe().apply({}, rngs=rngs)
        expected = row.function(key, X, **dict.fromkeys(row.fields, schedule(i)))
        row.case.assert_equal(step(rngs["dropout"], X, jnp.array(i)), expected, X)


@two_rows
@every_schedule
def test_the_loop_itself_may_be_compiled(row: Row, schedule: optax.Schedule):
    layer = getattr(flaxnoise.linen, row.name)(deterministic=False)

    def body(x: jax.Array, i: jax.Array) -> tuple[jax.Array, jax.Array]:
        key = jax.random.fold_in(KEY, i)
        return x, layer(x, key=key, **dict.fromkeys(row.fields, schedule(i)))

    _, ys = jax.jit(lambda x: jax.lax.scan(body, x, jnp.arange(STEPS)))(X)
    for i, y in enumerate(ys):
        given = dict.fromkeys(row.fields, schedule(i))
        row.case.assert_equal(y, row.function(jax.random.fold_in(KEY, i), X, **given), X)
    assert not np.array_equal(ys[1], X)
