"""jax.export: symbolic shapes, several platforms, serialisation; lowering for absent devices."""

import jax
import jax.numpy as jnp
import pytest

from cases import CASES, KEY, Case, array, few_cases
from every import every

X, WEIGHTS = array(6, 33), array(6, 33, seed=1)
WORDS = jax.random.key_data(KEY)


def exported(
    case: Case, shape: str, platforms: tuple[str, ...] | None = None
) -> jax.export.Exported:
    """Exports (raw key, x, dy, parameters) -> (y, dx)."""

    def step(
        words: jax.Array, x: jax.Array, dy: jax.Array, *params: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        y, pull = jax.vjp(lambda x: case(words, x, *params), x)
        return y, pull(dy)[0]

    x = jax.ShapeDtypeStruct(jax.export.symbolic_shape(shape), jnp.float32)
    number = jax.ShapeDtypeStruct((), jnp.float32)
    return jax.export.export(jax.jit(step), platforms=platforms)(
        jax.ShapeDtypeStruct(WORDS.shape, WORDS.dtype), x, x, *(number for _ in case.params)
    )


def assert_right(case: Case, program: jax.export.Exported) -> None:
    y, slope = program.call(WORDS, X, WEIGHTS, *case.params)
    case.assert_equal(y, case(KEY, X), X)
    case.assert_equal(slope, case.tangent(KEY, X, WEIGHTS), WEIGHTS)


@every("shape", ["6, 33", "2*half, width"])
@few_cases
def test_of_fixed_and_symbolic_shapes(case: Case, shape: str):
    assert_right(case, exported(case, shape))


@few_cases
def test_for_several_platforms_at_once(case: Case):
    program = exported(case, "b, 33", platforms=("cpu", "cuda", "rocm", "tpu"))
    assert program.platforms == ("cpu", "cuda", "rocm", "tpu")
    assert_right(case, program)


@every("platform", ["cuda", "rocm", "tpu"])
@few_cases
def test_for_a_platform_that_is_not_here(case: Case, platform: str):
    program = exported(case, "b, 33", platforms=(platform,))
    assert program.platforms == (platform,)
    with pytest.raises(ValueError, match="platform"):
        program.call(WORDS, X, WEIGHTS, *case.params)


@few_cases
def test_through_bytes(case: Case):
    pytest.importorskip("flatbuffers", reason="jax serialises exported programs with flatbuffers")
    data = exported(case, "b, 33").serialize()
    assert_right(case, jax.export.deserialize(data))


def test_a_typed_key_crosses():
    """Only for jax's default implementation: jax refuses to export typed philox keys."""
    program = jax.export.export(jax.jit(CASES[0]))(KEY, X)
    assert program.in_avals[0].dtype == KEY.dtype
    CASES[0].assert_equal(program.call(KEY, X), CASES[0](KEY, X), X)


@every("platform", ["cuda", "rocm", "tpu"])
@few_cases
def test_lowering_for_a_platform_that_is_not_here(case: Case, platform: str):
    lowered = jax.jit(case).trace(KEY, X).lower(lowering_platforms=(platform,))
    assert "tensor<6x33xf32>" in lowered.as_text().split("func.func public @main")[1]
