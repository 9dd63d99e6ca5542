// Drives every SIMD target over odd sizes, misaligned buffers, all kinds and dtypes, boxes, batches
// and in place. Built with the address and undefined-behaviour sanitizers by test_sanitizers.py;
// prints the number of calls.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "jobs.h"

using namespace flaxnoise;

namespace {

Parameters parameters;

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
  Job job = job_of(kind, type, has, parameters);
  set_shape(job, rows, row, 37);
  const auto size = static_cast<size_t>(size_of(type) * job.length);
  std::vector<char> first;
  for (const std::string& name : names_of_targets()) {
    use_target(name.c_str());
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
  const int64_t shapes[][2] = {{1, 0},    {1, 1}, {1, 5}, {1, 63},  {1, 1023}, {1, 1024},
                               {1, 2053}, {7, 1}, {3, 5}, {5, 517}, {2, 1024}};
  parameters.coefficients({0.75f, -1.3f, 0.4f, 1.7f});
  int calls = 0;
  for (const uint32_t t : {0u, 1u << 30, 12345u, 1u << 31}) {
    parameters.threshold = t;
    parameters.start[0] = t == 12345u ? 0xFFFFFFF3u : 0u;  // so that block numbers pass 32 bits
    parameters.start[1] = t == 12345u ? 7u : 0u;
    for (const auto& shape : shapes) {
      for (const size_t shift : {size_t{0}, size_t{1}}) {
        for (const Coefficients& has : terms) {
          for (const Type type : kTypes) {
            for (const Kind kind : kFloating) {
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
