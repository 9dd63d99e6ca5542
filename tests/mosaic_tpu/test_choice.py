"""Which calls use the kernel, which it refuses and why; lowered and exported without a TPU."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import flaxnoise
from cases import KEY, Case, every_case
from every import every
from flaxnoise.backends.contract import Call, refusal
from flaxnoise.backends.mosaic_tpu.backend import MosaicTpu

CALL = "tpu_custom_call"
LARGE, SMALL = (64, 512), (8, 130)
WORDS = jax.random.key_data(KEY)


def lowered(function, *arguments, platforms: tuple[str, ...] = ("tpu",)) -> str:
    return jax.jit(function).trace(*arguments).lower(lowering_platforms=platforms).as_text()


def shaped(*shape: int, dtype: jax.typing.DTypeLike = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


@every("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_large_arrays_have_the_kernel_on_tpu(dtype: jax.typing.DTypeLike):
    x = shaped(*LARGE, dtype=dtype)
    assert lowered(lambda x: flaxnoise.dropout(KEY, x, 0.3), x).count(CALL) == 1
    gradient = jax.grad(lambda x: jnp.sum(flaxnoise.dropout(KEY, x, 0.3).astype(jnp.float32) ** 2))
    text = lowered(gradient, x)
    assert text.count(CALL) == 1  # in a function that both passes call
    assert text.count("call @flaxnoise_noise") == 2


@every_case
def test_every_function_is_lowered(case: Case):
    with flaxnoise.backend("mosaic_tpu"):
        assert CALL in lowered(case, KEY, shaped(*SMALL))


def test_a_forced_xla_calls_no_kernel():
    with flaxnoise.backend("xla"):
        assert CALL not in lowered(lambda x: flaxnoise.dropout(KEY, x, 0.3), shaped(*LARGE))


def test_small_arrays_and_small_examples_are_left_to_xla():
    """In a batch with one key per example, the size of an example counts."""
    assert CALL not in lowered(lambda x: flaxnoise.dropout(KEY, x, 0.3), shaped(*SMALL))
    keys, drop = jax.random.split(KEY, 64), jax.vmap(lambda key, x: flaxnoise.dropout(key, x, 0.3))
    assert CALL not in lowered(drop, keys, shaped(64, 512))
    assert CALL in lowered(drop, keys, shaped(64, *LARGE))


@every(
    ("shape", "chosen"),
    [
        ((1 << 20,), True),
        ((4, 1 << 17), True),  # few long rows, reshaped into chunks
        ((4096, 1000), True),
        ((1_000_000,), False),  # reshaping these takes longer than the xla form
        ((4, 100_000), False),
        ((8, 12, 197, 197), False),
        ((16384, 4), False),
        ((16, 1023), False),
        ((15, 1024), False),
    ],
    ids=str,
)
def test_it_is_chosen_where_rows_stay_or_are_whole_chunks(shape: tuple[int, ...], chosen: bool):
    assert (CALL in lowered(lambda x: flaxnoise.dropout(KEY, x, 0.3), shaped(*shape))) == chosen


def test_in_64_bit_mode_the_kernel_is_the_same():
    x = shaped(*LARGE)
    with jax.enable_x64(True):
        assert CALL in lowered(lambda x: flaxnoise.dropout(KEY, x, 0.3), x)


@every(
    ("dtype", "reason"),
    [
        (jnp.float64, "float32, bfloat16 and float16, not float64"),
        (jnp.complex64, "float32, bfloat16 and float16, not complex64"),
        (jnp.float8_e4m3fn, "float32, bfloat16 and float16, not float8_e4m3fn"),
    ],
)
def test_refused_dtypes(dtype: jax.typing.DTypeLike, reason: str):
    with jax.enable_x64(True):
        x = shaped(*LARGE, dtype=dtype)
        assert CALL not in lowered(lambda x: flaxnoise.dropout(KEY, x, 0.3), x)
        with flaxnoise.backend("mosaic_tpu"), pytest.raises(NotImplementedError, match=reason):
            lowered(lambda x: flaxnoise.dropout(KEY, x, 0.3), x)


@every("platform", ["cpu", "cuda"])
def test_refused_platforms(platform: str):
    reason = f"it serves tpu, not {platform}"
    with flaxnoise.backend("mosaic_tpu"), pytest.raises(NotImplementedError, match=reason):
        lowered(lambda x: flaxnoise.dropout(KEY, x, 0.3), shaped(7, 11), platforms=(platform,))


def test_refused_kinds_and_cuts():
    common = {"dtype": jnp.float32, "platform": "tpu", "global_shape": (8, 8, 33)}
    with pytest.raises(ValueError, match=r"kind must be one of bits, .* got 'cauchy'"):
        Call.of({"key": KEY}, kind="cauchy", shape=(4, 4, 33), **common)
    call = Call.of({"key": KEY}, kind="normal", shape=(4, 4, 33), **common)
    reason = refusal(MosaicTpu(), call)
    assert reason == "the rows of the shard do not follow one another in the global array."
    reason = refusal(MosaicTpu(), dataclasses.replace(call, sharding="mixed"))
    assert "cannot see into the kernel" in str(reason)


def test_single_platform_export():
    x = shaped(*LARGE)
    program = jax.export.export(
        jax.jit(lambda key, x: flaxnoise.dropout(key, x, 0.3)), platforms=("tpu",)
    )(WORDS, x)
    assert program.platforms == ("tpu",)
    assert CALL in program.mlir_module()


def test_symbolic_sizes_are_left_to_xla():
    rows = jax.export.symbolic_shape("b, 512")
    program = jax.export.export(
        jax.jit(lambda key, x: flaxnoise.dropout(key, x, 0.3)), platforms=("tpu",)
    )(WORDS, shaped(*rows))
    assert CALL not in program.mlir_module()
    with flaxnoise.backend("mosaic_tpu"), pytest.raises(NotImplementedError, match="known"):
        jax.export.export(
            jax.jit(lambda key, x: flaxnoise.dropout(key, x, 0.5)), platforms=("tpu",)
        )(WORDS, shaped(*rows))


def test_several_platforms_are_left_to_xla():
    text = lowered(
        lambda x: flaxnoise.dropout(KEY, x, 0.3), shaped(*LARGE), platforms=("cpu", "tpu")
    )
    assert CALL not in text


def test_each_shard_of_an_explicit_mesh_has_a_kernel():
    mesh = jax.make_mesh((4,), ("data",), (AxisType.Explicit,))
    x = jax.device_put(jnp.ones((256, 512)), NamedSharding(mesh, P("data")))
    with jax.sharding.set_mesh(mesh):
        text = lowered(lambda key, x: flaxnoise.dropout(key, x, 0.3), KEY, x)
    assert CALL in text
    assert "tensor<64x512xf32>" in text


def test_rows_that_would_have_to_be_cut_are_left_to_xla():
    """XLA takes longer to reshape rows of 513 into chunks than to compute the mask itself."""
    for columns, chosen in ((512, True), (516, True), (513, False), (1023, False)):
        text = lowered(lambda x: flaxnoise.dropout(KEY, x, 0.3), shaped(64, columns))
        assert (CALL in text) == chosen, columns
