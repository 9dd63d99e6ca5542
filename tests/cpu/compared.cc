// Runs every kind, dtype, subset of coefficients and step of one SIMD target, for test_arm64.py.
//
//   compared TARGET all       a line for each group of calls: its name, and a hash of all bytes of
//   y compared TARGET exact     only those whose values do not depend on fused multiply-adds
//   compared TARGET values    float32 noise, then sums with normals and uniforms, as bytes
//
// Calls have odd sizes, misaligned buffers, boxes, counters whose words overflow, and every special
// value of x. NaNs are hashed as one value, since processors differ in the sign of a new NaN.
#include <cmath>
#include <cstdio>
#include <cstring>

#include "jobs.h"

using namespace flaxnoise;

namespace {

constexpr int64_t kPool = 2 << 16;  // elements of x
constexpr size_t kGuard = 64;       // bytes around y that a call must not write

const char* const kTypeNames[] = {"f32", "f64", "bf16", "f16", "boolean", "u32"};

struct Setting {
  uint32_t threshold;
  uint64_t start;
  float coefficients[4];
};

// Blocks have four words. The upper half of their number changes at element 2^34, and at 2^35 for
// masks, whose words serve two elements.
const Setting kSettings[] = {
    {12345u, 0, {0.75f, -1.3f, 0.4f, 1.7f}},
    {1u << 30, (1ull << 32) - 13, {1.0f, 0.3f, 0.0f, -2.0f}},
    {1u << 30, (3ull << 34) - 1029, {-0.0f, 1.0f, -0.4f, 0.0f}},
    {6554u << 15, (3ull << 35) - 1029, {1.0f, -1.0f, 0.5f, -0.5f}},
    {0u, (1ull << 63) + 5, {0.7f, 0.3f, -0.0f, 0.0f}},
    {1u << 31, ~0ull - 2047, {1.0f, 0.0f, 3e38f, -3e38f}},
    {1u << 29, 1024, {0.0f, INFINITY, 1e-45f, NAN}},
};

uint64_t mix(uint64_t x) {  // of splitmix64
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
  x = (x ^ x >> 27) * 0x94D049BB133111EB;
  return x ^ x >> 31;
}

// Every 16-bit pattern for the types of 16 bits. For others every third element is special: ±0,
// ±inf, NaN, subnormals, the least normal number, the greatest number and ±1; the rest are random
// bits.
uint64_t pattern(Type type, int64_t i) {
  if (size_of(type) == 2) return static_cast<uint64_t>(i);
  const bool wide = type == Type::f64;
  const uint64_t inf = wide ? 0x7FFull << 52 : 0x7F800000u, one = inf / 2;
  const uint64_t special[] = {0,       inf, inf + 1, inf + inf / 512, 1, 77, inf & ~(inf << 1),
                              inf - 1, one};
  const uint64_t sign = static_cast<uint64_t>(i & 1) << (wide ? 63 : 31);
  const auto step = static_cast<uint64_t>(i);
  return i % 3 == 0 ? special[mix(step) % 9] | sign : mix(step ^ 0x9E3779B97F4A7C15);
}

// x at an address that is `shift` bytes past an aligned one.
std::vector<char> pool(Type type, size_t shift) {
  const auto size = static_cast<size_t>(size_of(type));
  std::vector<char> bytes(kPool * size + shift);
  for (int64_t i = 0; i < kPool; ++i) {
    const uint64_t bits = pattern(type, i);
    std::memcpy(bytes.data() + shift + static_cast<size_t>(i) * size, &bits, size);
  }
  return bytes;
}

template <class Bits>
void unify_nans(char* y, int64_t count, Bits inf) {
  for (int64_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, y + i * static_cast<int64_t>(sizeof bits), sizeof bits);
    if (static_cast<Bits>(bits << 1) <= static_cast<Bits>(inf << 1)) continue;
    std::memset(y + i * static_cast<int64_t>(sizeof bits), 0xFF, sizeof bits);
  }
}

void unify_nans(Type type, char* y, int64_t count) {
  if (type == Type::f64) unify_nans(y, count, uint64_t{0x7FF} << 52);
  if (type == Type::f32) unify_nans(y, count, uint32_t{0x7F800000});
  if (type == Type::bf16) unify_nans(y, count, uint16_t{0x7F80});
  if (type == Type::f16) unify_nans(y, count, uint16_t{0x7C00});
}

uint64_t add_to(uint64_t hash, const std::vector<char>& bytes) {
  for (size_t i = 0; i < bytes.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, std::min<size_t>(8, bytes.size() - i));
    hash = (hash ^ word) * 0x9E3779B97F4A7C15;
    hash ^= hash >> 29;
  }
  return hash;
}

// One call for each shape. x has two copies, one of them misaligned, which take turns.
uint64_t hash_of(Job job, const std::vector<char> (&x)[2], bool linear, size_t setting) {
  const int64_t shapes[][2] = {{1, 1},    {1, 5}, {1, 63},  {1, 190},
                               {1, 2053}, {7, 1}, {3, 517}, {1, 1 << 16}};
  uint64_t hash = 0;
  size_t shift = setting % 2;
  for (const auto& shape : shapes) {
    // Every pattern of 16 bits, once with masks and once with normals.
    const bool every = shape[1] == 1 << 16;
    const bool kind = job.kind == (setting == 3 ? Kind::keep : Kind::normal);
    if (every && !(size_of(job.type) == 2 && linear && kind && setting % 3 == 0)) continue;
    set_shape(job, shape[0], shape[1], 37);
    if (job.length > 1000) job.items = job.batch[0] = 1;
    const auto size = static_cast<size_t>(size_of(job.type) * job.length);
    if (linear) {
      job.x.data = x[shift].data() + shift;
      job.x.strides[0] = static_cast<int64_t>(size);
    }
    std::vector<char> y(2 * size + 2 * kGuard, 0x5A);
    job.y = y.data() + kGuard + shift;
    run(job, target(), 0, job.items * job.length);
    unify_nans(job.type, job.y, job.items * job.length);
    hash = add_to(hash, y);
    shift = 1 - shift;
  }
  return hash;
}

// Elsewhere a compiler is free to fuse a multiplication and an addition.
bool exact(Kind kind, const Coefficients& has) {
  if (kind == Kind::keep) return !(has.linear() && (has.c || has.d));
  const bool words = kind != Kind::normal && kind != Kind::masked_normal && kind != Kind::laplace;
  return words && !has.any();
}

void print_hashes(Type type, const std::vector<Kind>& kinds, int subsets, bool only_exact) {
  const std::vector<char> x[2] = {pool(type, 0), pool(type, 1)};
  Parameters parameters;
  for (const Setting& setting : kSettings) {
    parameters.threshold = setting.threshold;
    parameters.coefficients(setting.coefficients);
    std::memcpy(parameters.start, &setting.start, sizeof parameters.start);
    for (int subset = 0; subset < subsets; ++subset) {
      const Coefficients has{(subset & 1) != 0, (subset & 2) != 0, (subset & 4) != 0,
                             (subset & 8) != 0};
      for (const Kind kind : kinds) {
        const Job job = job_of(kind, type, has, parameters);
        if (kind == Kind::keep && subsets > 1 && !has.any()) continue;
        if (only_exact && !exact(kind, has)) continue;
        std::printf(
            "%s %s %s%s%s%s setting %d,%016llx\n", KINDS[int(kind)].name, kTypeNames[int(type)],
            has.a ? "a" : "-", has.b ? "b" : "-", has.c ? "c" : "-", has.d ? "d" : "-",
            int(&setting - kSettings),
            static_cast<unsigned long long>(hash_of(job, x, has.linear(), &setting - kSettings)));
      }
    }
  }
}

void print_values(const std::vector<Kind>& kinds, const Coefficients& has) {
  constexpr int64_t kCount = 1 << 14;
  std::vector<float> x(2 * kCount), y(x.size());
  for (size_t i = 0; i < x.size(); ++i) x[i] = float(int32_t(mix(i))) * 0x1p-31f;  // |x| ≤ 1
  Parameters parameters;
  parameters.coefficients(kSettings[0].coefficients);
  parameters.threshold = 1u << 30;
  for (const Kind kind : kinds) {
    Job job = job_of(kind, Type::f32, has, parameters);
    set_shape(job, 1, kCount, 0);
    if (has.linear()) {
      job.x.data = reinterpret_cast<const char*>(x.data());
      job.x.strides[0] = kCount * size_of(job.type);
    }
    job.y = reinterpret_cast<char*>(y.data());
    run(job, target(), 0, 2 * job.length);
    std::fwrite(y.data(), sizeof(float), y.size(), stdout);
  }
}

}  // namespace

int main(int count, char** arguments) {
  const std::string mode = count == 3 ? arguments[2] : "";
  if (!(mode == "all" || mode == "exact" || mode == "values") || !use_target(arguments[1])) {
    std::fprintf(stderr, "usage: compared TARGET all|exact|values, with a target of %s\n",
                 target_names());
    return 2;
  }
  if (mode == "values") {
    print_values({Kind::normal, Kind::masked_normal, Kind::laplace, Kind::uniform}, {});
    for (const Coefficients& has : {Coefficients{false, false, true, true},
                                    {true, false, false, true},
                                    {true, true, false, false},
                                    {true, true, true, true}}) {
      print_values({Kind::normal, Kind::masked_normal, Kind::uniform}, has);
    }
    return 0;
  }
  const std::vector<Kind> floating(std::begin(kFloating), std::end(kFloating));
  for (const Type type : kTypes) print_hashes(type, floating, 16, mode == "exact");
  print_hashes(Type::boolean, {Kind::keep}, 1, mode == "exact");
  print_hashes(Type::u32, {Kind::bits, Kind::halves}, 1, mode == "exact");
}
