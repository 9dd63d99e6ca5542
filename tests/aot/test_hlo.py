"""Kernels and bytes counted from HLO: a text whose numbers are known by hand, and jax's loops."""

import jax
import jax.numpy as jnp
import pytest

from bench.aot import hlo

PROGRAM = """
HloModule known

%fused_slice (param_0: f32[8,1024], param_1: s32[]) -> f32[1,1024] {
  %param_0 = f32[8,1024]{1,0} parameter(0)
  %param_1 = s32[] parameter(1)
  ROOT %slice = f32[1,1024]{1,0} dynamic-slice(%param_0, %param_1), dynamic_slice_sizes={1,1024}
}

%fused_update (param_0.1: f32[8,1024], param_1.1: f32[1,1024], param_2: s32[]) -> f32[8,1024] {
  %param_0.1 = f32[8,1024]{1,0} parameter(0)
  %param_1.1 = f32[1,1024]{1,0} parameter(1)
  %param_2 = s32[] parameter(2)
  ROOT %set = f32[8,1024]{1,0} dynamic-update-slice(%param_0.1, %param_1.1, %param_2)
}

%body (t: (s32[], f32[8,1024], bf16[4096])) -> (s32[], f32[8,1024], bf16[4096]) {
  %t = (s32[], f32[8,1024]{1,0}, bf16[4096]{0:T(128)S(1)}) parameter(0)
  %i = s32[] get-tuple-element(%t), index=0
  %x = f32[8,1024]{1,0} get-tuple-element(%t), index=1
  %fast = bf16[4096]{0:T(128)S(1)} get-tuple-element(%t), index=2
  %row = f32[1,1024]{1,0} fusion(%x, %i), kind=kLoop, calls=%fused_slice
  %new = f32[8,1024]{1,0} fusion(%x, %row, %i), kind=kLoop, calls=%fused_update
  %near = bf16[4096]{0:T(128)S(1)} copy(%fast)
  ROOT %out = (s32[], f32[8,1024]{1,0}, bf16[4096]{0:T(128)S(1)}) tuple(%i, %new, %near)
}

%condition (c: (s32[], f32[8,1024], bf16[4096])) -> pred[] {
  %c = (s32[], f32[8,1024]{1,0}, bf16[4096]{0:T(128)S(1)}) parameter(0)
  %j = s32[] get-tuple-element(%c), index=0
  %five = s32[] constant(5)
  ROOT %less = pred[] compare(%j, %five), direction=LT
}

ENTRY %main (a: f32[8,1024]) -> f32[8,1024] {
  %a = f32[8,1024]{1,0} parameter(0)
  %start = (f32[8,1024]{1,0}, f32[8,1024]{1,0}, u32[]) copy-start(%a)
  %copied = f32[8,1024]{1,0} copy-done(%start)
  %zero = s32[] constant(0)
  %first = (s32[], f32[8,1024]{1,0}, bf16[4096]{0:T(128)S(1)}) tuple(%zero, %copied)
  %loop = (s32[], f32[8,1024]{1,0}, bf16[4096]{0}) while(%first), condition=%condition, body=%body
  ROOT %y = f32[8,1024]{1,0} get-tuple-element(%loop), index=1
}
"""
ROW, INDEX, WHOLE = 4096, 4, 8 * 4096


def test_a_program_whose_costs_are_known():
    """A copy; five times a slice of a row and an update of a row. A copy on the chip is free."""
    tile = 2 * (2 * ROW + INDEX)
    assert hlo.cost(PROGRAM) == (1 + 5 * 2, 2 * WHOLE + 5 * tile, 2, tile)


def test_a_loop_of_unknown_length_is_refused():
    unknown = PROGRAM.replace("constant(5)", "parameter(1)")
    with pytest.raises(ValueError, match="the number of passes of loop is not known"):
        hlo.cost(unknown)


@pytest.mark.parametrize("length", [3, 7])
def test_the_loops_of_jax_count_as_often_as_they_run(length: int):
    def scanned(x):
        return jax.lax.scan(lambda c, _: (jnp.sin(c) @ c, None), x, length=length)[0]

    x = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    found = hlo.cost(jax.jit(scanned).lower(x).compile().as_text())
    assert found.kernels > length * found.tile_kernels > 0
    assert found.moved > length * found.tile_moved >= length * 5 * 64 * 64 * 4
