// y = x·(a + b·n) + (c + d·n) for up to a chunk of elements, given their words or noise.
//
// A factor of exactly 0 gives 0 even if x is inf or NaN. An offset of exactly 0 is replaced by −0,
// since adding −0 preserves the sign of zeros.
#pragma once

#include "element.h"

namespace flaxnoise {
namespace {

// y[i] = body(x[i], i), with x and y of a type; without x if kReads is false.
template <Type type, bool kReads, class Body>
FLAXNOISE_INLINE void each_element(int count, const char* x, char* y, Body body) {
  using E = Element<type>;
  constexpr int kStep = E::kCount, kSize = sizeof(typename E::Storage);
  typename E::V in{};
  int i = 0;
  for (; i + kStep <= count; i += kStep) {
    if constexpr (kReads) in = E::get(x + i * kSize);
    E::put(y + i * kSize, body(in, i));
  }
  if (i < count) {
    char rest[kStep * kSize] = {};
    const auto bytes = static_cast<size_t>((count - i) * kSize);
    if constexpr (kReads) {
      std::memcpy(rest, x + i * kSize, bytes);
      in = E::get(rest);
    }
    E::put(rest, body(in, i));
    std::memcpy(y + i * kSize, rest, bytes);
  }
}

FLAXNOISE_INLINE U32 swap_halves(U32 w) { return w << 16 | w >> 16; }

// Whether elements with these u are kept: (u >> 1) >= threshold, for thresholds from 0 to 2^31.
// AVX2 only compares signed integers. 2^31 would overflow them, threshold − 1 does not.
template <class E>
FLAXNOISE_INLINE typename E::Mask keeps(typename E::Word u, uint32_t threshold) {
  using Signed = Vector<int32_t, E::kCount>;
  const Signed mask = (Signed)(u >> 1) > (Signed)all<typename E::Word>(threshold - 1);
  if constexpr (sizeof(Signed) == sizeof(typename E::Mask)) {
    return (typename E::Mask)mask;
  } else {
    return __builtin_convertvector(mask, typename E::Mask);
  }
}

// The same for words in memory. In the upper half of a chunk, u is the word with swapped halves.
template <class E, bool kUpper>
FLAXNOISE_INLINE typename E::Mask keeps(const uint32_t* words, uint32_t threshold) {
  const auto w = load<typename E::Word>(words);
  return keeps<E>(kUpper ? w << 16 | w >> 16 : w, threshold);
}

// For a factor of 1, x itself: XLA's threads flush subnormal products to zero.
template <class E>
FLAXNOISE_INLINE typename E::V times(typename E::V x, typename E::V factor) {
  const typename E::V product = factor == typename E::Compute{1} ? x : x * factor;
  return factor == typename E::Compute{0} ? typename E::V{} : product;
}

template <class E>
FLAXNOISE_INLINE typename E::V plus(typename E::V product, typename E::V offset) {
  return offset == typename E::Compute{0} ? product : product + offset;
}

template <Type type>
void map(const Item& item, int count, const char* x, char* y) {
  using E = Element<type>;
  using C = typename E::Compute;
  const C factor = static_cast<C>(item.first.factor), offset = static_cast<C>(item.first.offset);
  if (item.step == Step::fill) {
    each_element<type, false>(count, x, y, [=](auto, int) { return all<typename E::V>(offset); });
  } else {
    each_element<type, true>(count, x, y, [=](auto v, int) { return v * factor + offset; });
  }
}

template <Type type, bool kUpper>
void keep(const Item& item, const uint32_t* words, int count, const char* x, char* y) {
  using E = Element<type>;
  using C = typename E::Compute;
  using V = typename E::V;
  const uint32_t t = item.threshold;
  const V kept = all<V>(static_cast<C>(item.first.offset));
  const V dropped = all<V>(static_cast<C>(item.second.offset));
  const V factor = all<V>(static_cast<C>(item.first.factor));
  const V other = all<V>(static_cast<C>(item.second.factor));
  if (item.step == Step::drop) {
    each_element<type, true>(
        count, x, y, [=](V v, int i) { return keeps<E, kUpper>(words + i, t) ? v * factor : V{}; });
  } else if (item.step == Step::blend) {
    each_element<type, true>(count, x, y, [=](V v, int i) {
      return keeps<E, kUpper>(words + i, t) ? plus<E>(times<E>(v, factor), kept)
                                            : plus<E>(times<E>(v, other), dropped);
    });
  } else {
    each_element<type, false>(
        count, x, y, [=](V, int i) { return keeps<E, kUpper>(words + i, t) ? kept : dropped; });
  }
}

template <Type type>
void noise(const Item& item, const float* noise, int count, const char* x, char* y) {
  using E = Element<type>;
  using C = typename E::Compute;
  using V = typename E::V;
  const C a = static_cast<C>(item.first.factor), b = static_cast<C>(item.second.factor);
  const C c = static_cast<C>(item.first.offset), d = static_cast<C>(item.second.offset);
  const auto n = [=](int i) { return E::widen(load<typename E::Noise>(noise + i)); };
  switch (item.step) {
    case Step::raw:
      return each_element<type, false>(count, x, y, [=](V, int i) { return n(i); });
    case Step::value:
      return each_element<type, false>(count, x, y, [=](V, int i) { return n(i) * d + c; });
    case Step::add:
      return each_element<type, true>(
          count, x, y, [=](V v, int i) { return plus<E>(times<E>(v, all<V>(a)), n(i) * d + c); });
    case Step::scale:
      return each_element<type, true>(count, x, y,
                                      [=](V v, int i) { return times<E>(v, n(i) * b + a); });
    default:
      return each_element<type, true>(count, x, y, [=](V v, int i) {
        return plus<E>(times<E>(v, n(i) * b + a), n(i) * d + c);
      });
  }
}

}  // namespace
}  // namespace flaxnoise
