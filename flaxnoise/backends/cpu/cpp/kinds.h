// The kinds of noise that the kernel supports, with the domains of flaxnoise/stream/kinds.py; a
// test compares the two.
#pragma once

#include <cstdint>

namespace flaxnoise {

// `halves` is the u that `keep` compares with its threshold.
enum class Kind { bits, keep, halves, normal, masked_normal, uniform, laplace, unit_uniform };

struct KindRow {
  const char* name;
  Kind kind;
  uint32_t domain;
};

constexpr KindRow KINDS[] = {{"bits", Kind::bits, 0},
                             {"keep", Kind::keep, 1},
                             {"halves", Kind::halves, 1},
                             {"normal", Kind::normal, 2},
                             {"masked_normal", Kind::masked_normal, 2},
                             {"uniform", Kind::uniform, 3},
                             {"laplace", Kind::laplace, 4},
                             {"unit_uniform", Kind::unit_uniform, 5}};

constexpr uint32_t domain_of(Kind kind) { return KINDS[static_cast<int>(kind)].domain; }

}  // namespace flaxnoise
