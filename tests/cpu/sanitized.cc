// Drives every SIMD target over odd sizes, misaligned buffers, all kinds and dtypes, boxes, batches
// and in place. Built with the address and undefined-behaviour sanitizers by test_sanitizers.py;
// prints the number of calls.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "job.h"
#include "targets.h"

using namespace flaxnoise;

namespace {

const float kFloats[] = {0.75f, -1.3f, 0.4f, 1.7f};
const double kDoubles[] = {0.75, -1.3, 0.4, 1.7};
const uint32_t kKey[] = {1, 2, 3, 4};
uint32_t threshold = 0;
uint32_t start[2] = {0, 0};

struct Coefficients {
  bool a, b, c, d;
  bool linear() const { return a || b; }
  bool any() const { return a || b || c || d; }
};

Job job_of(Kind kind, Type type, const Coefficients& has) {
  Job job;
  job.kind = kind;
  job.type = type;
  job.key.data = reinterpret_cast<const char*>(kKey);
  job.start.data = reinterpret_cast<const char*>(start);
  if (kind == Kind::keep || kind == Kind::masked_normal) {
    job.threshold.data = reinterpret_cast<const char*>(&threshold);
  }
  const bool wide = type == Type::f64;
  const auto value = [&](int i) {
    return wide ? reinterpret_cast<const char*>(kDoubles + i)
                : reinterpret_cast<const char*>(kFloats + i);
  };
  if (has.a) job.a.data = value(0);
  if (has.b) job.b.data = value(1);
  if (has.c) job.c.data = value(2);
  if (has.d) job.d.data = value(3);
  return job;
}

// A buffer of exactly this size, at an address that is `shift` bytes past an aligned one.
struct Buffer {
  std::vector<char> bytes;
  size_t shift;
  Buffer(size_t size, size_t shift) : bytes(size + shift), shift(shift) {
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i % 61);
  }
  char* data() { return bytes.data() + shift; }
};

// Two items of this many elements, in a box of rows of `row`; every target must write the same
// bytes where integers decide.
void check(Kind kind, Type type, const Coefficients& has, int64_t rows, int64_t row, size_t shift,
           int& calls) {
  Job job = job_of(kind, type, has);
  job.batch_rank = 1;
  job.items = job.batch[0] = 2;
  job.length = rows * row;
  job.run = row;
  if (rows > 1) {
    job.outer_rank = 1;
    job.outer[0] = rows;
    job.outer_strides[0] = static_cast<uint64_t>(row) + 37;
  }
  const auto size = static_cast<size_t>(size_of(type) * job.length);
  std::vector<char> first;
  const std::string names = target_names();
  for (size_t begin = 0; begin < names.size();) {
    const size_t end = std::min(names.find(',', begin), names.size());
    use_target(names.substr(begin, end - begin).c_str());
    begin = end + 1;
    Buffer x(2 * size, shift), y(2 * size, shift);
    if (has.linear()) {
      job.x.data = x.data();
      job.x.strides[0] = static_cast<int64_t>(size);
    }
    job.y = y.data();
    run(job, target(), 0, 2 * job.length);
    if (has.linear()) {
      job.y = x.data();
      run(job, target(), 0, 2 * job.length);
      if (y.bytes != x.bytes) {
        std::printf("in place differs: kind %d type %d\n", int(kind), int(type));
        std::exit(1);
      }
    }
    calls += 1;
    const bool exact = kind != Kind::normal && kind != Kind::masked_normal &&
                       kind != Kind::laplace && !(has.any() && kind != Kind::keep) &&
                       !(has.linear() && (has.c || has.d));
    if (first.empty()) first = y.bytes;
    if (exact && first != y.bytes) {
      std::printf("%s differs: kind %d type %d\n", target().name, int(kind), int(type));
      std::exit(1);
    }
  }
}

}  // namespace

int main() {
  const Coefficients terms[] = {{false, true, false, false}, {true, false, false, true},
                                {true, true, true, true},    {false, false, true, true},
                                {false, true, false, true},  {false, false, false, false}};
  const Kind floating[] = {Kind::keep,    Kind::normal,       Kind::masked_normal,
                           Kind::uniform, Kind::unit_uniform, Kind::laplace};
  const int64_t shapes[][2] = {{1, 0},    {1, 1}, {1, 5}, {1, 63},  {1, 1023}, {1, 1024},
                               {1, 2053}, {7, 1}, {3, 5}, {5, 517}, {2, 1024}};
  int calls = 0;
  for (const uint32_t t : {0u, 1u << 30, 12345u, 1u << 31}) {
    threshold = t;
    start[0] = t == 12345u ? 0xFFFFFFF3u : 0u;  // so that block numbers grow past 32 bits
    start[1] = t == 12345u ? 7u : 0u;
    for (const auto& shape : shapes) {
      for (const size_t shift : {size_t{0}, size_t{1}}) {
        for (const Coefficients& has : terms) {
          for (const Type type : {Type::f32, Type::f64, Type::bf16, Type::f16}) {
            for (const Kind kind : floating) {
              if (kind == Kind::keep && !has.any()) continue;
              check(kind, type, has, shape[0], shape[1], shift, calls);
            }
          }
        }
        const Coefficients none{};
        check(Kind::keep, Type::boolean, none, shape[0], shape[1], shift, calls);
        check(Kind::bits, Type::u32, none, shape[0], shape[1], shift, calls);
        check(Kind::halves, Type::u32, none, shape[0], shape[1], shift, calls);
      }
    }
  }
  std::printf("%d calls\n", calls);
}
