// Philox4x32-10 (Salmon et al. 2011) on vectors: each 64-bit lane computes a block, with words in
// the lower halves of lanes.
//
// The upper halves are arbitrary, since products only read lower halves. So a 64-bit product is
// used as its own lower word, and a round takes two products, two shifts and four exclusive ors.
#pragma once

#include "stream.h"
#include "vector.h"

namespace flaxnoise {
namespace {

// What the rounds have in common for all blocks of one key, domain and upper half of the block
// number: the round keys, and parts of the first three rounds, as only the first counter word
// differs between blocks.
struct Schedule {
  U64 round0, round1_c0, round1_c2, round2_c2;
  U64 k0[ROUNDS], k1[ROUNDS];
};

struct Words {
  U64 w0, w1, w2, w3;  // in the lower halves
};

FLAXNOISE_INLINE U64 both(uint32_t value) { return (U64)all<U32>(value); }

inline void prepare(Schedule& s, const uint32_t* key, uint32_t domain, uint32_t block_high) {
  uint32_t k0[ROUNDS], k1[ROUNDS];
  for (int i = 0; i < ROUNDS; ++i) {
    k0[i] = key[0] + static_cast<uint32_t>(i) * PHILOX_W32_0;
    k1[i] = key[1] + static_cast<uint32_t>(i) * PHILOX_W32_1;
    s.k0[i] = both(k0[i]);
    s.k1[i] = both(k1[i]);
  }
  const uint64_t product1 = uint64_t{PHILOX_M4x32_1} * (domain << 24 ^ key[2]);
  const uint32_t c0 = static_cast<uint32_t>(product1 >> 32) ^ block_high ^ k0[0];
  const uint64_t product0 = uint64_t{PHILOX_M4x32_0} * c0;
  s.round0 = both(key[3] ^ k1[0]);
  s.round1_c0 = both(static_cast<uint32_t>(product1) ^ k0[1]);
  s.round1_c2 = both(static_cast<uint32_t>(product0 >> 32) ^ k1[1]);
  s.round2_c2 = both(static_cast<uint32_t>(product0) ^ k1[2]);
}

// The words of G vectors of blocks, given the lower halves of the block numbers.
template <int G>
FLAXNOISE_INLINE void philox(const Schedule& s, const U64 (&block)[G], Words (&words)[G]) {
  const U64 m0 = both(PHILOX_M4x32_0), m1 = both(PHILOX_M4x32_1);
  U64 c0[G], c2[G], p0[G], p1[G];
  for (int g = 0; g < G; ++g) {
    const U64 first = multiply_low(m0, block[g]);
    c2[g] = upper(first) ^ s.round0;
    p1[g] = multiply_low(m1, c2[g]);
    c0[g] = upper(p1[g]) ^ s.round1_c0;
    c2[g] = first ^ s.round1_c2;
  }
  for (int g = 0; g < G; ++g) {
    p0[g] = multiply_low(m0, c0[g]);
    const U64 product1 = multiply_low(m1, c2[g]);
    c0[g] = upper(product1) ^ p1[g] ^ s.k0[2];
    c2[g] = upper(p0[g]) ^ s.round2_c2;
    p1[g] = product1;
  }
#pragma GCC unroll 7
  for (int i = 3; i < ROUNDS; ++i) {
    for (int g = 0; g < G; ++g) {
      const U64 product0 = multiply_low(m0, c0[g]);
      const U64 product1 = multiply_low(m1, c2[g]);
      c0[g] = upper(product1) ^ p1[g] ^ s.k0[i];
      c2[g] = upper(product0) ^ p0[g] ^ s.k1[i];
      p0[g] = product0;
      p1[g] = product1;
    }
  }
  for (int g = 0; g < G; ++g) words[g] = {c0[g], p1[g], c2[g], p0[g]};
}

// Calls sink(offset of the first element, words) for each vector of the blocks [begin, end) of a
// chunk, and for some beyond the end. `order` is the order of a vector's blocks in its lanes.
template <class Sink>
FLAXNOISE_INLINE void each_block(const Schedule& s, uint32_t first, int begin, int end, U64 order,
                                 Sink sink) {
  constexpr int kBlocks = kBytes / 8;
  const U64 base = all<U64>(uint64_t{first}) + order;
  for (int i = begin; i < end; i += kUnroll * kBlocks) {
    U64 block[kUnroll];
    Words words[kUnroll];
    for (int g = 0; g < kUnroll; ++g) block[g] = base + static_cast<uint64_t>(i + g * kBlocks);
    philox<kUnroll>(s, block, words);
    for (int g = 0; g < kUnroll; ++g) sink(4 * (i + g * kBlocks), words[g]);
  }
}

}  // namespace
}  // namespace flaxnoise
