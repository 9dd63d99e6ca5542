// Loads and stores of x and y, as vectors of elements in the precision of the computation.
#pragma once

#include "job.h"
#include "vector.h"

namespace flaxnoise {
namespace {

template <Type type>
struct Element;

template <class C>
struct Lanes {
  using Compute = C;
  static constexpr int kCount = kBytes / sizeof(C);
  using V = Vector<C, kCount>;
  using Noise = Vector<float, kCount>;
  using Word = Vector<uint32_t, kCount>;
  using Mask = decltype(V{} == V{});

  static FLAXNOISE_INLINE V widen(Noise n) { return __builtin_convertvector(n, V); }
};

template <>
struct Element<Type::f32> : Lanes<float> {
  using Storage = float;
  static FLAXNOISE_INLINE V get(const void* from) { return load<V>(from); }
  static FLAXNOISE_INLINE void put(void* to, V value) { store(to, value); }
};

template <>
struct Element<Type::f64> : Lanes<double> {
  using Storage = double;
  static FLAXNOISE_INLINE V get(const void* from) { return load<V>(from); }
  static FLAXNOISE_INLINE void put(void* to, V value) { store(to, value); }
};

template <>
struct Element<Type::u32> : Lanes<float> {
  using Storage = uint32_t;
  using V = U32;
  static FLAXNOISE_INLINE void put(void* to, V value) { store(to, value); }
};

using Half = Vector<uint16_t, kLanes>;

FLAXNOISE_INLINE Half narrow(U32 bits) { return __builtin_convertvector(bits, Half); }

template <>
struct Element<Type::bf16> : Lanes<float> {
  using Storage = uint16_t;
  static FLAXNOISE_INLINE V get(const void* from) {
    return (V)(__builtin_convertvector(load<Half>(from), U32) << 16);
  }
  // Rounds to nearest, ties to even; preserves NaN.
  static FLAXNOISE_INLINE void put(void* to, V value) {
    const U32 bits = (U32)value;
    const U32 rounded = bits + ((bits >> 16 & 1u) + 0x7FFFu);
    store(to, narrow((value == value ? rounded : bits | 0x400000u) >> 16));
  }
};

template <>
struct Element<Type::f16> : Lanes<float> {
  using Storage = uint16_t;
#if defined(__AVX512F__)
  static FLAXNOISE_INLINE V get(const void* from) {
    return (V)_mm512_cvtph_ps(load<__m256i>(from));
  }
  static FLAXNOISE_INLINE void put(void* to, V value) {
    store(to, _mm512_cvtps_ph((__m512)value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
#elif defined(__AVX2__)
  static FLAXNOISE_INLINE V get(const void* from) {
    return (V)_mm256_cvtph_ps(load<__m128i>(from));
  }
  static FLAXNOISE_INLINE void put(void* to, V value) {
    store(to, _mm256_cvtps_ph((__m256)value, _MM_FROUND_TO_NEAREST_INT));
  }
#elif defined(__aarch64__)
  static FLAXNOISE_INLINE V get(const void* from) {
    return (V)vcvt_f32_f16(load<float16x4_t>(from));
  }
  static FLAXNOISE_INLINE void put(void* to, V value) {
    store(to, vcvt_f16_f32((float32x4_t)value));
  }
#else
  static FLAXNOISE_INLINE V get(const void* from) {
    const U32 half = __builtin_convertvector(load<Half>(from), U32);
    const U32 magnitude = half & 0x7FFFu;
    const U32 normal = (magnitude << 13) + (112u << 23);
    const U32 subnormal = (U32)(__builtin_convertvector((I32)magnitude, V) * 0x1p-24f);
    const U32 wide = magnitude >= 0x7C00u ? normal + (112u << 23) : normal;
    return (V)((magnitude < 0x400u ? subnormal : wide) | (half & 0x8000u) << 16);
  }
  static FLAXNOISE_INLINE void put(void* to, V value) {
    const U32 bits = (U32)value, magnitude = bits & 0x7FFFFFFFu;
    const U32 normal = (magnitude - (112u << 23) + 0xFFFu + (magnitude >> 13 & 1u)) >> 13;
    // The spacing of subnormal halves is that of floats in [1/2, 1).
    const U32 subnormal = (U32)((V)magnitude + 0.5f) - 0x3F000000u;
    const U32 finite = magnitude < 0x38800000u ? subnormal : normal;
    const U32 limited = magnitude >= 0x47800000u ? all<U32>(0x7C00u) : finite;
    const U32 nan = (magnitude >> 13 & 0x3FFu) | 0x7E00u;
    store(to, narrow((value == value ? limited : nan) | (bits >> 16 & 0x8000u)));
  }
#endif
};

}  // namespace
}  // namespace flaxnoise
