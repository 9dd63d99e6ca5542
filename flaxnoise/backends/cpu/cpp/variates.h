// Maps from random words to noise, with the arithmetic of flaxnoise/stream/variates.py.
#pragma once

#include "philox.h"

namespace flaxnoise {
namespace {

template <int N>
FLAXNOISE_INLINE F32 polynomial(F32 x, const float (&coefficients)[N]) {
  F32 y = all<F32>(coefficients[N - 1]);
  for (int i = N - 2; i >= 0; --i) y = y * x + coefficients[i];
  return y;
}

FLAXNOISE_INLINE F32 to_float(I32 x) { return __builtin_convertvector(x, F32); }

// (k + 1/2)·2^-23 with k the upper 24 bits, signed.
FLAXNOISE_INLINE F32 uniform(U32 word) { return (to_float((I32)word >> 8) + 0.5f) * 0x1p-23f; }

FLAXNOISE_INLINE F32 unit_uniform(U32 word) {
  return (to_float((I32)(word >> 9)) + 0.5f) * 0x1p-23f;
}

// −2 ln u, u = (a >> 1 + 1/2)·2^-31 rounded to float and kept below 1.
FLAXNOISE_INLINE F32 minus_2_log(U32 a) {
  constexpr int32_t kSqrtHalfBits = 0x3F3504F3;
  const F32 v = to_float((I32)(a >> 1));
  const F32 u = least((v + 0.5f) * 0x1p-31f, all<F32>(1 - 0x1p-24f));
  const I32 i = (I32)u - kSqrtHalfBits;
  const F32 e = to_float(i >> 23);
  const F32 f = (F32)((i & 0x7FFFFF) + kSqrtHalfBits) - 1.0f;
  return e * -1.3862943611198906f + f * polynomial(f, LOG);
}

FLAXNOISE_INLINE F32 negate_where(F32 x, U32 sign) { return (F32)((U32)x ^ sign); }

// ∓ln u, negative if the lowest bit is set.
FLAXNOISE_INLINE F32 laplace(U32 word) {
  return negate_where(0.5f * minus_2_log(word), word << 31);
}

struct Pair {
  F32 first, second;
};

// The two normals of the words a and b (Box and Muller 1958).
FLAXNOISE_INLINE Pair normals(U32 a, U32 b) {
  const F32 t = (to_float((I32)b >> 9) + 0.5f) * 0x1p-22f;
  const F32 z = t * t;
  const F32 sine = t * polynomial(z, SIN), cosine = polynomial(z, COS);
  const I32 swap = (b & 2u) != 0u;
  const F32 radius = negate_where(square_root(minus_2_log(a)), b << 31);
  return {radius * (swap ? sine : cosine), radius * (swap ? cosine : sine)};
}

FLAXNOISE_INLINE U32 first_pair(const Words& w) { return even((U32)w.w0, (U32)w.w1); }
FLAXNOISE_INLINE U32 second_pair(const Words& w) { return even((U32)w.w2, (U32)w.w3); }

// Stores map(words) in element order, for the blocks [begin, end) of the chunk that begins with
// block `first`.
template <class To, class Map>
FLAXNOISE_INLINE void fill_words(const Schedule& s, uint32_t first, int begin, int end, To* to,
                                 Map map) {
  each_block(s, first, begin, end, kZipOrder, [&](int offset, const Words& w) {
    const U64 a = (U64)first_pair(w), b = (U64)second_pair(w);
    store(to + offset, map((U32)zip_low(a, b)));
    store(to + offset + kLanes, map((U32)zip_high(a, b)));
  });
}

inline void fill_normals(const Schedule& s, uint32_t first, int begin, int end, float* to) {
  each_block(s, first, begin, end, kZipOrder, [&](int offset, const Words& w) {
    const U32 a = even((U32)w.w0, (U32)w.w2), b = even((U32)w.w1, (U32)w.w3);
    const Pair n = normals(a, b);
    store(to + offset, zip_low(n.first, n.second));
    store(to + offset + kLanes, zip_high(n.first, n.second));
  });
}

}  // namespace
}  // namespace flaxnoise
