#include "targets.h"

#include <atomic>
#include <cstring>
#include <string>
#include <vector>

namespace flaxnoise {
namespace {

std::vector<const Target*> supported() {
  std::vector<const Target*> targets;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx512) targets.push_back(&target_avx512);
  if (avx2) targets.push_back(&target_avx2);
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
