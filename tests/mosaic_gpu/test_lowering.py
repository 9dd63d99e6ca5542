"""Which programs use the kernel for GPUs: lowered and exported for cuda without a GPU, not run."""

import jax
import jax.export
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import flaxnoise
from every import every
from flaxnoise.affine import affine
from flaxnoise.stream.kinds import KINDS
from flaxnoise.stream.noise import draw
from flaxnoise.stream.threshold import threshold

KEY, X = jax.random.key(0), jnp.ones((33, 129))
CALL = "mosaic_gpu_v2"
HAS_ROOTS = jax.__version_info__ >= (0, 12)  # Mosaic GPU, since that jax


def lowered(function, *arguments, platform: str = "cuda") -> str:
    return jax.jit(function).trace(*arguments).lower(lowering_platforms=(platform,)).as_text()


def drop(x):
    return flaxnoise.dropout(KEY, x, 0.5)


def forced(function):
    """Returns the function, forced to the kernel."""

    def call(*arguments):
        with flaxnoise.backend("mosaic_gpu"):
            return function(*arguments)

    return call


@every("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@every("kind", KINDS)
def test_every_kind_and_dtype_lowers_to_the_kernel(kind: str, dtype):
    operands = {"key": jnp.zeros(4, jnp.uint32)}
    if KINDS[kind].drops:
        operands["threshold"] = threshold(jnp.full((1, 1), 0.3))
    value = dtype if KINDS[kind].dtype == jnp.float32 else KINDS[kind].dtype
    params = {"kind": kind, "shape": X.shape, "backend": "mosaic_gpu"}
    if KINDS[kind].has_root and not HAS_ROOTS:
        with pytest.raises(NotImplementedError, match="no square root, which normals need"):
            lowered(lambda o: affine(o, dtype=value, **params), operands)
        return
    assert lowered(lambda o: affine(o, dtype=value, **params), operands).count(CALL) == 1
    if KINDS[kind].dtype != jnp.uint32:
        operands |= {"x": X.astype(dtype)} | {name: jnp.ones((1, 1)) for name in "abcd"}
        assert lowered(lambda o: affine(o, dtype=dtype, **params), operands).count(CALL) == 1


@every("kind", KINDS)
def test_no_integer_changes_its_sign_by_a_bitcast(kind: str):
    """After a bitcast to int32, Mosaic GPU converts to float32 as if the value were unsigned."""

    def noise(words, low):
        return draw(KINDS[kind], tuple(words), low, None, low)

    with jax.enable_x64(True):
        low = jnp.zeros(8, jnp.uint32)
        equations = jax.make_jaxpr(noise)(jnp.zeros(4, jnp.uint32), low).jaxpr.eqns
    casts = [e for e in equations if e.primitive.name == "bitcast_convert_type"]
    kinds = [(e.invars[0].aval.dtype.kind, e.outvars[0].aval.dtype.kind) for e in casts]
    assert equations
    assert not {("u", "i"), ("i", "u")} & set(kinds)


@every(
    ("shape", "whole"),
    [
        ((2048,), (1 << 40,)),
        ((2, 1024), (7, 1024)),
        ((3, 700), (9, 2100)),
        ((9, 1, 250), (9, 3, 250)),
    ],
    ids=str,
)
def test_shards_lower_to_the_kernel(shape: tuple[int, ...], whole: tuple[int, ...]):
    operands = {"key": jnp.zeros(4, jnp.uint32), "start": jnp.zeros(2, jnp.uint32)}
    params = {"kind": "bits", "shape": shape, "global_shape": whole, "dtype": jnp.uint32}
    assert CALL in lowered(lambda o: affine(o, backend="mosaic_gpu", **params), operands)


@every("shape", [(1025,), (1200,), (5, 7, 36), (2047,), (2, 1023), (5123,)], ids=str)
def test_sizes_between_those_of_tiles_lower_to_the_kernel(shape: tuple[int, ...]):
    """Threads must share a tile evenly, which the interpreter does not check."""
    assert CALL in lowered(forced(drop), jnp.ones(shape))
    keys = jax.random.split(KEY, 3)
    batched = jax.vmap(lambda key: flaxnoise.dropout(key, jnp.ones(shape), 0.5))
    assert CALL in lowered(forced(batched), keys)


def test_a_rate_that_varies_where_the_noise_is_shared_is_refused():
    def shared(x):
        return flaxnoise.dropout(KEY, x, jnp.linspace(0, 1, 8), broadcast_dims=1)

    with pytest.raises(NotImplementedError, match="varies along dimensions that share the noise"):
        lowered(forced(shared), jnp.ones((2048, 8)))


@every("spec", [P("a"), P(None, "b"), P("a", "b")], ids=str)
def test_each_device_of_an_explicit_mesh_runs_the_kernel(spec: P):
    mesh = jax.make_mesh((4, 2), ("a", "b"), (AxisType.Explicit,) * 2)
    with jax.set_mesh(mesh):
        x = jax.device_put(jnp.ones((64, 4096)), NamedSharding(mesh, spec))
        assert lowered(forced(drop), x).count(CALL) == 1


def test_it_serves_forward_and_gradient_and_a_key_per_example():
    assert lowered(forced(drop), X).count(CALL) == 1
    gradient = lowered(forced(jax.grad(lambda x: jnp.sum(drop(x) ** 2))), X)
    assert gradient.count(CALL) == 1  # in a function that both passes call
    assert gradient.count("call @flaxnoise_noise") == 2
    keys = jax.random.split(KEY, 3)
    batched = jax.vmap(lambda key: flaxnoise.dropout(key, X, 0.5))
    assert lowered(forced(batched), keys).count(CALL) == 1


def test_xla_serves_gpus_unless_it_is_forced():
    assert CALL not in lowered(drop, X)


def test_what_has_no_noise_or_no_tile_is_left_to_xla():
    assert CALL not in lowered(forced(drop), X[0])
    gradient = jax.grad(lambda x: jnp.sum(flaxnoise.uniform_noise(KEY, x, 0.5)))
    assert CALL not in lowered(forced(gradient), X)


def test_a_program_for_gpus_is_exported_on_any_machine():
    exported = jax.export.export(jax.jit(forced(drop)), platforms=["cuda"])(X)
    assert CALL in exported.mlir_module()
    again = jax.export.deserialize(exported.serialize())
    assert again.platforms == ("cuda",)
    assert again.out_avals[0].shape == X.shape


@every("platform", ["cpu", "tpu", "rocm"])
def test_other_platforms_are_refused(platform: str):
    with pytest.raises(NotImplementedError, match=f"it serves cuda, not {platform}"):
        lowered(forced(drop), X, platform=platform)


@every("dtype", ["complex64", "float8_e5m2"])
def test_other_dtypes_are_refused(dtype: str):
    with pytest.raises(NotImplementedError, match=f"its kernel has no {dtype}"):
        lowered(forced(drop), X.astype(dtype))


def test_64_bit_arrays_are_refused():
    with jax.enable_x64(True), pytest.raises(NotImplementedError, match="no float64"):
        lowered(forced(drop), X.astype(jnp.float64))


def test_it_is_listed():
    assert flaxnoise.backends()["mosaic_gpu"] == "available"
