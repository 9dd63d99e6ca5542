"""partition_kernels: its effect, its cost, and its behaviour in a jax without support."""

import contextlib
import warnings

import jax
import pytest
from jax._src import dispatch
from jax.sharding import NamedSharding, PartitionSpec

import flaxnoise
from cases import KEY, array
from every import every
from flaxnoise.backends import choice
from meshes import AUTO, EXPLICIT, OPAQUE, Program, available, bits_equal, mesh, put

P = PartitionSpec
X = array(8, 12)
PRIVATE = "prim_requires_devices_during_lowering"


@pytest.fixture
def preferred(monkeypatch: pytest.MonkeyPatch):
    """Makes the opaque kernel the first choice on CPU; turns the switch off afterwards."""
    monkeypatch.setattr(choice, "BACKENDS", {"opaque": OPAQUE, **choice.BACKENDS})
    yield
    with contextlib.suppress(NotImplementedError):
        flaxnoise.partition_kernels(enable=False)


def drop(x: jax.Array) -> jax.Array:
    return flaxnoise.dropout(KEY, x, 0.3)


def program(kind, rows: int = 8) -> Program:
    """Compiles a new function, since the switch is not part of jax's cache keys."""
    x = array(rows, 12)
    found = Program(lambda x: drop(x), put(x, mesh(kind), "a", "b"))
    assert bits_equal(found.result, drop(x))
    assert not found.collectives
    return found


def test_on_automatic_axes_kernels_wait_for_the_switch(preferred: None):
    assert program(AUTO, rows=20).shards == set()
    flaxnoise.partition_kernels()
    assert program(AUTO, rows=24).shards == {(12, 3)}
    flaxnoise.partition_kernels(enable=False)
    assert program(AUTO, rows=28).shards == set()


def test_what_was_traced_before_the_switch_still_runs(preferred: None):
    """Which kernel it runs on depends on jax: newer versions cache what they traced."""
    assert program(AUTO, rows=32).shards == set()
    flaxnoise.partition_kernels()
    assert program(AUTO, rows=32).shards in (set(), {(16, 3)})


def test_on_explicit_axes_and_on_one_device_kernels_need_no_switch(preferred: None):
    assert program(EXPLICIT).shards == {(4, 3)}
    assert Program(lambda x: drop(x), X).shards == {X.shape}


def test_on_axes_of_both_kinds_the_xla_form_serves(preferred: None):
    flaxnoise.partition_kernels()
    where = jax.make_mesh((2, 4), ("a", "b"), axis_types=(EXPLICIT, AUTO))
    found = Program(lambda x: drop(x), put(X, where, "a"))
    assert bits_equal(found.result, drop(X))
    assert found.shards == set()


def test_a_program_for_an_abstract_mesh_is_the_price(preferred: None):
    abstract = jax.sharding.AbstractMesh((2, 4), ("a", "b"), axis_types=(AUTO, AUTO))

    def lower(rows: int) -> str:
        sharding = NamedSharding(abstract, P("a", "b"))
        x = jax.ShapeDtypeStruct((rows, 12), X.dtype, sharding=sharding)
        traced = jax.jit(lambda x: drop(x)).trace(x)
        return traced.lower(lowering_platforms=("cpu",)).as_text()

    assert "num_partitions = 8" in lower(rows=36)
    flaxnoise.partition_kernels()
    with pytest.raises(ValueError, match=r"(?i)device"):
        lower(rows=40)


def test_without_the_private_name_of_jax_the_switch_says_so(
    preferred: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delattr(dispatch, PRIVATE)
    with pytest.raises(NotImplementedError, match="explicit axes, or shard_map"):
        flaxnoise.partition_kernels()


def test_without_the_private_name_of_jax_only_automatic_axes_lose_the_kernel(
    preferred: None, monkeypatch: pytest.MonkeyPatch
):
    # jax looks the name up in its own module; ours must work without it.
    from flaxnoise.affine import private

    flaxnoise.partition_kernels()
    monkeypatch.setattr(private, "primitives_that_need_devices", lambda: None)
    assert program(AUTO).shards == set()
    assert program(EXPLICIT).shards == {(4, 3)}
    assert Program(lambda x: drop(x), X).shards == {X.shape}
    monkeypatch.undo()
    flaxnoise.partition_kernels(enable=False)


@every("name", ["opaque", "cpu"])
def test_the_older_partitioner_asks_as_well(name: str, preferred: None):
    available(name)
    with warnings.catch_warnings(), flaxnoise.backend(name):
        warnings.simplefilter("ignore", DeprecationWarning)
        if not hasattr(jax.config, "jax_use_shardy_partitioner"):
            pytest.skip(
                f"jax {jax.__version__} has no option jax_use_shardy_partitioner, "
                "which would choose GSPMD, the partitioner before Shardy"
            )
        flaxnoise.partition_kernels()
        jax.config.update("jax_use_shardy_partitioner", False)
        try:
            found = Program(lambda x: drop(x) * 2, put(X, mesh(AUTO), "a", "b"))
        finally:
            jax.config.update("jax_use_shardy_partitioner", True)
    assert bits_equal(found.result, drop(X) * 2)
    assert not found.collectives
    assert found.shards == {(4, 3)}


def test_exported_programs_for_many_devices_hold_the_xla_form(preferred: None):
    flaxnoise.partition_kernels()
    x = put(X, mesh(AUTO), "a", "b")
    exported = jax.export.export(jax.jit(lambda x: drop(x)))(x)
    assert exported.nr_devices == 8
    assert "custom_partitioning" not in exported.mlir_module().lower()
    assert bits_equal(jax.jit(exported.call)(x), drop(X))
