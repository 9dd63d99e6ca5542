// The hot path, dropout of a whole chunk: y = keep ? x·factor : 0. The words stay in registers.
#pragma once

#include "formula.h"
#include "variates.h"

namespace flaxnoise {
namespace {

// Each lane of x holds two bfloat16, with their words in low_words and high_words.
FLAXNOISE_INLINE U32 drop_pairs(U32 x, U32 low_words, U32 high_words, uint32_t threshold,
                                float factor) {
  using Pairs = Vector<uint16_t, 2 * kLanes>;
  const I32 t = (I32)all<U32>(threshold - 1);
  const F32 scaled_low = (F32)(x << 16) * factor, scaled_high = (F32)(x & 0xFFFF0000u) * factor;
  const U32 low = (U32)((I32)(low_words >> 1) > t ? scaled_low : F32{});
  const U32 high = (U32)((I32)(high_words >> 1) > t ? scaled_high : F32{});
  // Rounds to nearest, ties to even, on 16-bit lanes. NaN is preserved: its lower bits are those of
  // x, 0, so that it is not rounded.
  const Pairs result = (Pairs)(low >> 16 | (high & 0xFFFF0000u));
  const Pairs rest = (Pairs)((low & 0xFFFFu) | high << 16);
  return (U32)((rest | (result & 1)) > 0x8000 ? result + 1 : result);
}

template <Type type>
void drop_chunk(const Schedule& s, uint32_t first, const Item& item, const char* x, char* y) {
  using E = Element<type>;
  constexpr int kSize = sizeof(typename E::Storage);
  constexpr int kBlock = 4 * kLanes * kSize;
  const uint32_t t = item.threshold;
  const auto factor = static_cast<float>(item.first.factor);
  const U64 order = type == Type::bf16 ? kLaneOrder : kZipOrder;
  each_block(s, first, 0, HALF / 4, order, [=](int offset, const Words& w) {
    const char* from = x + offset * kSize;
    char* to = y + offset * kSize;
    // Prefetches the next chunk: each half of a chunk is at most 2 kB of consecutive memory, too
    // short for the hardware prefetcher.
    for (int i = 0; i < kBlock; i += 64) {
      __builtin_prefetch(from + CHUNK * kSize + i);
      __builtin_prefetch(to + CHUNK * kSize + i, 1);
    }
    if constexpr (type == Type::bf16) {
      const U32 low = even((U32)w.w0, (U32)w.w2), high = even((U32)w.w1, (U32)w.w3);
      const U32 x0 = load<U32>(from), x1 = load<U32>(from + HALF * kSize);
      store(to, drop_pairs(x0, low, high, t, factor));
      store(to + HALF * kSize, drop_pairs(x1, swap_halves(low), swap_halves(high), t, factor));
    } else {
      const U64 a = (U64)first_pair(w), b = (U64)second_pair(w);
      const U32 words[] = {(U32)zip_low(a, b), (U32)zip_high(a, b)};
      for (int half = 0; half < 2; ++half) {
        for (int i = 0; i < 2; ++i) {
          const int at = (half * HALF + i * kLanes) * kSize;
          const U32 u = half == 0 ? words[i] : swap_halves(words[i]);
          const F32 scaled = E::get(from + at) * factor;
          E::put(to + at, keeps<E>(u, t) ? scaled : F32{});
        }
      }
    }
  });
}

}  // namespace
}  // namespace flaxnoise
