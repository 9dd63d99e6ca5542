#include "targets.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <atomic>
#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

namespace flaxnoise {
namespace {

#if defined(__x86_64__)
// Instruction sets that the processor has and whose registers the operating system saves.
// __builtin_cpu_supports is not used, as it has "f16c" only since GCC 11 and clang 17. Bits as in
// Intel's manual, volume 2, CPUID.
struct Features {
  bool avx2 = false;
  bool avx512 = false;
};

Features features() {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return {};
  const auto in = [](unsigned word, std::initializer_list<int> bits) {
    for (int bit : bits) {
      if (!(word >> bit & 1)) return false;
    }
    return true;
  };
  if (!in(c, {12, 27, 28, 29})) return {};  // FMA, OSXSAVE, AVX, F16C
  unsigned saved, upper;
  __asm__("xgetbv" : "=a"(saved), "=d"(upper) : "c"(0));
  if (!in(saved, {1, 2})) return {};  // XMM, YMM
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return {};
  Features found;
  found.avx2 = in(b, {5});
  // F, DQ, BW, VL; saved: mask registers, upper halves of ZMM 0 to 15, ZMM 16 to 31.
  found.avx512 = found.avx2 && in(b, {16, 17, 30, 31}) && in(saved, {5, 6, 7});
  return found;
}
#endif

std::vector<const Target*> supported() {
  std::vector<const Target*> targets;
#if defined(__x86_64__)
  const Features has = features();
  if (has.avx512) targets.push_back(&target_avx512);
  if (has.avx2) targets.push_back(&target_avx2);
  targets.push_back(&target_baseline);
#else
  targets.push_back(&target_neon);
#endif
  return targets;
}

const std::vector<const Target*>& targets() {
  static const std::vector<const Target*> all = supported();
  return all;
}

std::atomic<const Target*>& chosen() {
  static std::atomic<const Target*> target{targets().front()};
  return target;
}

}  // namespace

const Target& target() { return *chosen().load(std::memory_order_relaxed); }

const char* target_names() {
  static const std::string names = [] {
    std::string joined;
    for (const Target* target : targets()) {
      joined += joined.empty() ? target->name : std::string(",") + target->name;
    }
    return joined;
  }();
  return names.c_str();
}

bool use_target(const char* name) {
  for (const Target* target : targets()) {
    if (std::strcmp(target->name, name) == 0) {
      chosen().store(target);
      return true;
    }
  }
  return false;
}

}  // namespace flaxnoise
