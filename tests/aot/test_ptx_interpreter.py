"""The PTX interpreter follows the PTX specification, on small kernels written here."""

from fractions import Fraction

import numpy as np
import pytest

import ptx
from every import every

HEAD = """
.visible .entry kernel(
	.param .u64 .ptr .align 16 kernel_param_0,
	.param .u64 .ptr .align 16 kernel_param_1
)
.reqntid 32, 1, 1
{
	ld.param.b64 	%rd1, [kernel_param_0];
	ld.param.b64 	%rd2, [kernel_param_1];
	cvta.to.global.u64 	%rd3, %rd1;
	cvta.to.global.u64 	%rd4, %rd2;
	mov.u32 	%r1, %tid.x;
	mul.wide.u32 	%rd5, %r1, 4;
	add.s64 	%rd6, %rd3, %rd5;
	add.s64 	%rd7, %rd4, %rd5;
"""
TAIL = """
	ret;
}
"""
STORE = "st.global.b32 	[%rd7], %r9;"


def applied(body: str, words: np.ndarray, dtype=np.uint32, after: str = STORE) -> np.ndarray:
    """Runs the body in 32 threads, from a word each in %r2; returns %r9."""
    source = f"{HEAD}	ld.global.b32 	%r2, [%rd6];\n{body}\n{after}{TAIL}"
    given = np.resize(words, 32).astype(words.dtype)
    return ptx.run(source, [given, np.zeros(32, dtype)], 1)[1]


def nearest(exact: Fraction) -> np.float32:
    """Rounds to the nearest float32, ties to even."""
    guess = np.float32(float(exact))
    around = [np.nextafter(guess, np.float32(to)) for to in (-np.inf, np.inf)] + [guess]
    return min(around, key=lambda v: (abs(Fraction(float(v)) - exact), int(v.view(np.uint32)) & 1))


def test_a_fused_product_is_rounded_once():
    """Products very close to the midpoint of two float32, where rounding twice is wrong."""
    a = np.float32(1 + 2**-12)
    tiny = np.array([2**-60, -(2**-60), 0, 2**-24, -(2**-24), 1.5], np.float32)
    square = Fraction(float(a)) ** 2
    for c in (*tiny, -np.float32(float(square)), np.float32(-(2**-24)) + tiny[0]):
        body = f"fma.rn.f32 	%r9, %r2, %r2, 0f{int(np.float32(c).view(np.uint32)):08X};"
        (got, *_) = applied(body, np.array([a]), np.float32)
        assert got == nearest(square + Fraction(float(np.float32(c)))), c


@every(
    ("body", "expected"),
    [
        ("shf.l.wrap.b32 	%r9, %r2, %r2, 16;", lambda w: w << 16 & 0xFFFFFFFF | w >> 16),
        ("shr.u32 	%r9, %r2, 40;", lambda w: 0 * w),  # amounts are clamped to the width
        ("shr.s32 	%r9, %r2, 40;", lambda w: (w >> 31) * 0xFFFFFFFF),
        ("prmt.b32 	%r9, %r2, 0, 0x4321U;", lambda w: w >> 8),
        ("mul.wide.u32 	%rd8, %r2, -766435501;\n	shr.u64 %rd9, %rd8, 32;\n"
         "	cvt.u32.u64 	%r9, %rd9;", lambda w: w * 0xD2511F53 >> 32),
        ("cvt.u16.u32 	%rs1, %r2;\n	mul.hi.u16 	%rs2, %rs1, 13707;\n"
         "	cvt.u32.u16 	%r9, %rs2;",
         lambda w: (w & 0xFFFF) * 13707 >> 16),
        ("mul.hi.s32 	%r9, %r2, -3;",
         lambda w: (w.astype(np.uint32).view(np.int32).astype(np.int64) * -3 >> 32) & 0xFFFFFFFF),
        ("mov.b32 	{%rs1, %rs2}, %r2;\n	mov.b32 	%r9, {%rs2, %rs1};",
         lambda w: w << 16 & 0xFFFFFFFF | w >> 16),
        ("setp.gt.s32 	%p1, %r2, -1;\n	selp.b32 	%r9, 1, 2, %p1;",
         lambda w: np.where(w < 2**31, 1, 2)),
        ("cvt.rn.f32.s32 	%r9, %r2;", lambda w: w.astype(np.uint32).view(np.int32)
         .astype(np.float32).view(np.uint32)),
    ],
)  # fmt: skip
def test_an_instruction_does_what_ptx_says(body: str, expected):
    words = np.array([0, 1, 0x12345678, 2**31 - 1, 2**31, 2**32 - 1], np.uint32)
    wide = np.resize(words, 32).astype(np.uint64)
    np.testing.assert_array_equal(applied(body, words), expected(wide))


def test_threads_part_and_meet_again():
    body = """
	setp.lt.u32 	%p1, %r1, 5;
	@%p1 bra 	$L__a;
	mov.b32 	%r9, 7;
	bra 	$L__b;
$L__a:
	mov.b32 	%r9, 9;
$L__b:
	add.s32 	%r9, %r9, 1;
	@!%p1 add.s32 	%r9, %r9, 1;"""
    assert applied(body, np.zeros(1, np.uint32)).tolist() == [10] * 5 + [9] * 27


def test_nan_is_the_one_nan_of_ptx():
    body = "add.rn.f32 	%r9, %r2, 0f3F800000;"
    nan = np.array([0xFFC12345], np.uint32)
    assert set(applied(body, nan)) == {0x7FFFFFFF}


@every(
    ("after", "error", "message"),
    [
        ("st.global.b32 	[%rd7+4], %r2;", IndexError, "out of bounds"),
        ("st.global.b32 	[%rd7+-4], %r2;", IndexError, "out of bounds"),
        ("st.global.v2.b32 	[%rd7], {%r2, %r2};", ValueError, "not aligned"),
        ("sin.approx.f32 	%r9, %r2;", KeyError, "sin"),
    ],
)
def test_what_a_gpu_must_not_do_raises(after: str, error: type, message: str):
    with pytest.raises(error, match=message):
        applied("", np.zeros(1, np.uint32), after=after)
