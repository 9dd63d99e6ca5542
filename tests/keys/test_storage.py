"""Keys are saved by Orbax, sent to other processes, and restored unchanged."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx

from flaxnoise import random
from flaxnoise.random.keys import NAME
from processes import environment, finish, free_port, started

KEY = random.key(29)
X = jnp.ones((33, 129))


def data(keys: jax.Array) -> np.ndarray:
    return np.asarray(jax.random.key_data(keys))


def saved(folder: Path, state: Any) -> Path:
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "state", state)
    return folder / "state"


def restored(path: Path, target: Any = None) -> Any:
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path, target)


def state() -> dict[str, jax.Array]:
    return {"key": KEY, "keys": jax.random.split(KEY, 3), "step": jnp.array(5)}


@pytest.mark.parametrize(
    "target", [None, {**state(), "key": random.key(0)}], ids=["bare", "target"]
)
def test_orbax_restores_keys_and_arrays_of_keys(tmp_path: Path, target: Any):
    back = restored(saved(tmp_path, state()), target)
    for name in ("key", "keys"):
        assert back[name].dtype == KEY.dtype
        np.testing.assert_array_equal(data(back[name]), data(state()[name]))


def test_the_streams_of_a_flax_model_go_on_after_a_restart(tmp_path: Path):
    layers = [nnx.Dropout(0.5, rngs=nnx.Rngs(random.key(seed))) for seed in (29, 30)]
    for _ in range(3):
        layers[0](X)
    nnx.update(layers[1], restored(saved(tmp_path, nnx.state(layers[0])), nnx.state(layers[1])))
    for _ in range(2):
        np.testing.assert_array_equal(layers[1](X), layers[0](X))


def test_words_are_what_to_save_where_jax_does_not_know_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As in a program that does not import flaxnoise, or in a jax without the private table."""
    keys = saved(tmp_path / "keys", {"key": KEY})
    words = saved(tmp_path / "words", {"key": jax.random.key_data(KEY)})
    prng = pytest.importorskip("jax._src.random.prng", reason="this jax has no such table")
    monkeypatch.delitem(prng.prngs, NAME)
    with pytest.raises(ValueError, match=f'unrecognized PRNG implementation "{NAME}"'):
        restored(keys)
    back = jax.random.wrap_key_data(restored(words)["key"], impl=random.IMPL)
    np.testing.assert_array_equal(data(back), data(KEY))


IN_A_PROCESS = """
import sys
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
number, port = int(sys.argv[1]), sys.argv[2]
jax.distributed.initialize(f"127.0.0.1:{port}", 2, number)
from flaxnoise import random
key = random.key(29)
mesh = jax.make_mesh((4,), ("data",), (jax.sharding.AxisType.Auto,))
def draw(key):
    keys = jax.vmap(lambda n: jax.random.fold_in(key, n))(jax.numpy.arange(4))
    return jax.vmap(lambda key: jax.random.normal(key, (33,)))(keys)
whole = np.asarray(jax.jit(draw)(key))
shards = jax.jit(draw, out_shardings=NamedSharding(mesh, P("data")))(key).addressable_shards
assert [shard.data.shape for shard in shards] == [(1, 33)] * 2
for shard in shards:
    assert np.array_equal(shard.data, whole[shard.index]), shard.index
print(whole.sum())
"""


def test_several_processes_draw_one_array():
    port = free_port()
    commands = [["-c", IN_A_PROCESS, number, port] for number in range(2)]
    with started(commands, [environment(JAX_NUM_CPU_DEVICES="2")] * 2) as processes:
        finish(processes)
