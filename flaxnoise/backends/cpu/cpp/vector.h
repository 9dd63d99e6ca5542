// Vector operations for the instruction set that the file is compiled for. They are in an unnamed
// namespace, so that the linker cannot merge functions of different SIMD targets.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace flaxnoise {
namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
constexpr int kUnroll = 4;
#elif defined(__AVX2__)
constexpr int kBytes = 32;
constexpr int kUnroll = 2;
#else
constexpr int kBytes = 16;
constexpr int kUnroll = 2;
#endif

template <class E, int L>
struct VectorOf {
  typedef E type __attribute__((vector_size(sizeof(E) * L)));
};
template <class E, int L>
using Vector = typename VectorOf<E, L>::type;

constexpr int kLanes = kBytes / 4;

using U32 = Vector<uint32_t, kLanes>;
using I32 = Vector<int32_t, kLanes>;
using F32 = Vector<float, kLanes>;
using U64 = Vector<uint64_t, kLanes / 2>;

#define FLAXNOISE_INLINE inline __attribute__((always_inline))

template <class V>
FLAXNOISE_INLINE V load(const void* from) {
  V value;
  std::memcpy(&value, from, sizeof(V));
  return value;
}

template <class V>
FLAXNOISE_INLINE void store(void* to, V value) {
  std::memcpy(to, &value, sizeof(V));
}

template <class V, class E>
FLAXNOISE_INLINE V all(E value) {
  return value - V{};
}

#if defined(__AVX512F__)

// The 64-bit products of the lower halves of 64-bit lanes.
FLAXNOISE_INLINE U64 multiply_low(U64 a, U64 b) {
  return (U64)_mm512_mul_epu32((__m512i)a, (__m512i)b);
}
// Moves the upper halves of 64-bit lanes to the lower ones; a shuffle, as shifts share an execution
// port with products.
FLAXNOISE_INLINE U64 upper(U64 a) {
  return (U64)_mm512_shuffle_epi32((__m512i)a, (_MM_PERM_ENUM)0xF5);
}
// a0 b0 a2 b2 …
FLAXNOISE_INLINE U32 even(U32 a, U32 b) {
  return (U32)_mm512_mask_shuffle_epi32((__m512i)a, 0xAAAA, (__m512i)b, (_MM_PERM_ENUM)0xA0);
}
// Interleaves in each 128 bits: a0 b0 a1 b1 (low), a2 b2 a3 b3 (high); the same for 64-bit lanes.
FLAXNOISE_INLINE F32 zip_low(F32 a, F32 b) { return (F32)_mm512_unpacklo_ps((__m512)a, (__m512)b); }
FLAXNOISE_INLINE F32 zip_high(F32 a, F32 b) {
  return (F32)_mm512_unpackhi_ps((__m512)a, (__m512)b);
}
FLAXNOISE_INLINE U64 zip_low(U64 a, U64 b) {
  return (U64)_mm512_unpacklo_epi64((__m512i)a, (__m512i)b);
}
FLAXNOISE_INLINE U64 zip_high(U64 a, U64 b) {
  return (U64)_mm512_unpackhi_epi64((__m512i)a, (__m512i)b);
}
FLAXNOISE_INLINE F32 square_root(F32 a) { return (F32)_mm512_sqrt_ps((__m512)a); }
FLAXNOISE_INLINE F32 least(F32 a, F32 b) { return (F32)_mm512_min_ps((__m512)a, (__m512)b); }
// The order of a vector's blocks for which zip_low and zip_high give words in element order.
constexpr U64 kZipOrder = {0, 4, 1, 5, 2, 6, 3, 7};
constexpr U64 kLaneOrder = {0, 1, 2, 3, 4, 5, 6, 7};

#elif defined(__AVX2__)

FLAXNOISE_INLINE U64 upper(U64 a) { return a >> 32; }
FLAXNOISE_INLINE U64 multiply_low(U64 a, U64 b) {
  return (U64)_mm256_mul_epu32((__m256i)a, (__m256i)b);
}
FLAXNOISE_INLINE U32 even(U32 a, U32 b) {
  return (U32)_mm256_blend_epi32((__m256i)a, _mm256_slli_epi64((__m256i)b, 32), 0xAA);
}
FLAXNOISE_INLINE F32 zip_low(F32 a, F32 b) { return (F32)_mm256_unpacklo_ps((__m256)a, (__m256)b); }
FLAXNOISE_INLINE F32 zip_high(F32 a, F32 b) {
  return (F32)_mm256_unpackhi_ps((__m256)a, (__m256)b);
}
FLAXNOISE_INLINE U64 zip_low(U64 a, U64 b) {
  return (U64)_mm256_unpacklo_epi64((__m256i)a, (__m256i)b);
}
FLAXNOISE_INLINE U64 zip_high(U64 a, U64 b) {
  return (U64)_mm256_unpackhi_epi64((__m256i)a, (__m256i)b);
}
FLAXNOISE_INLINE F32 square_root(F32 a) { return (F32)_mm256_sqrt_ps((__m256)a); }
FLAXNOISE_INLINE F32 least(F32 a, F32 b) { return (F32)_mm256_min_ps((__m256)a, (__m256)b); }
constexpr U64 kZipOrder = {0, 2, 1, 3};
constexpr U64 kLaneOrder = {0, 1, 2, 3};

#elif defined(__x86_64__)

FLAXNOISE_INLINE U64 upper(U64 a) { return a >> 32; }
FLAXNOISE_INLINE U64 multiply_low(U64 a, U64 b) {
  return (U64)_mm_mul_epu32((__m128i)a, (__m128i)b);
}
FLAXNOISE_INLINE U32 even(U32 a, U32 b) {
  const U64 mask = all<U64>(uint64_t{0xFFFFFFFF});
  return (U32)(((U64)a & mask) | ((U64)b << 32));
}
FLAXNOISE_INLINE F32 zip_low(F32 a, F32 b) { return (F32)_mm_unpacklo_ps((__m128)a, (__m128)b); }
FLAXNOISE_INLINE F32 zip_high(F32 a, F32 b) { return (F32)_mm_unpackhi_ps((__m128)a, (__m128)b); }
FLAXNOISE_INLINE U64 zip_low(U64 a, U64 b) {
  return (U64)_mm_unpacklo_epi64((__m128i)a, (__m128i)b);
}
FLAXNOISE_INLINE U64 zip_high(U64 a, U64 b) {
  return (U64)_mm_unpackhi_epi64((__m128i)a, (__m128i)b);
}
FLAXNOISE_INLINE F32 square_root(F32 a) { return (F32)_mm_sqrt_ps((__m128)a); }
FLAXNOISE_INLINE F32 least(F32 a, F32 b) { return (F32)_mm_min_ps((__m128)a, (__m128)b); }
constexpr U64 kZipOrder = {0, 1};
constexpr U64 kLaneOrder = {0, 1};

#elif defined(__aarch64__)

FLAXNOISE_INLINE U64 upper(U64 a) { return a >> 32; }
FLAXNOISE_INLINE U64 multiply_low(U64 a, U64 b) {
  return (U64)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
}
FLAXNOISE_INLINE U32 even(U32 a, U32 b) { return (U32)vtrn1q_u32((uint32x4_t)a, (uint32x4_t)b); }
FLAXNOISE_INLINE F32 zip_low(F32 a, F32 b) {
  return (F32)vzip1q_f32((float32x4_t)a, (float32x4_t)b);
}
FLAXNOISE_INLINE F32 zip_high(F32 a, F32 b) {
  return (F32)vzip2q_f32((float32x4_t)a, (float32x4_t)b);
}
FLAXNOISE_INLINE U64 zip_low(U64 a, U64 b) { return (U64)vzip1q_u64((uint64x2_t)a, (uint64x2_t)b); }
FLAXNOISE_INLINE U64 zip_high(U64 a, U64 b) {
  return (U64)vzip2q_u64((uint64x2_t)a, (uint64x2_t)b);
}
FLAXNOISE_INLINE F32 square_root(F32 a) { return (F32)vsqrtq_f32((float32x4_t)a); }
FLAXNOISE_INLINE F32 least(F32 a, F32 b) { return (F32)vminq_f32((float32x4_t)a, (float32x4_t)b); }
constexpr U64 kZipOrder = {0, 1};
constexpr U64 kLaneOrder = {0, 1};

#else
#error "flaxnoise: no vector operations for this processor"
#endif

}  // namespace
}  // namespace flaxnoise
