// Runs the kernel once for each argument KIND:TYPE:ELEMENTS, on one thread and one SIMD target.
// bench.guard counts the instructions of `measured` alone.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "job.h"
#include "targets.h"

using namespace flaxnoise;

namespace {

const uint32_t kKey[] = {1, 2, 3, 4};
const uint32_t kStart[] = {0, 0};
const uint32_t kThreshold = 6554u << 15;  // of rate 0.1
const float kOne = 1.0f, kFactor = 1.0f / 0.9f, kScale = 0.3f;

const char* bytes(const void* value) { return static_cast<const char*>(value); }

bool set_kind(Job& job, const char* kind) {
  if (std::strcmp(kind, "dropout") == 0) {
    job.kind = Kind::keep;
    job.b.data = bytes(&kFactor);
  } else {
    job.a.data = bytes(&kOne);
    job.d.data = bytes(&kScale);
    if (std::strcmp(kind, "gaussian_noise") == 0) {
      job.kind = Kind::normal;
    } else if (std::strcmp(kind, "masked_gaussian_noise") == 0) {
      job.kind = Kind::masked_normal;
    } else if (std::strcmp(kind, "uniform_noise") == 0) {
      job.kind = Kind::uniform;
    } else if (std::strcmp(kind, "laplace_noise") == 0) {
      job.kind = Kind::laplace;
    } else {
      return false;
    }
  }
  job.threshold.data = bytes(&kThreshold);
  return true;
}

bool set_type(Job& job, const char* type) {
  if (std::strcmp(type, "float32") == 0) {
    job.type = Type::f32;
  } else if (std::strcmp(type, "bfloat16") == 0) {
    job.type = Type::bf16;
  } else {
    return false;
  }
  return true;
}

}  // namespace

extern "C" __attribute__((noinline)) void measured(const Job& job) {
  run(job, target(), 0, job.length);
  asm volatile("" ::: "memory");  // so that this is a call, and not a jump, to run
}

int main(int count, char** arguments) {
  if (count < 3 || !use_target(arguments[1])) {
    std::fprintf(stderr, "usage: driver TARGET KIND:TYPE:ELEMENTS..., with a target of %s\n",
                 target_names());
    return 2;
  }
  for (int i = 2; i < count; ++i) {
    char kind[32], type[32];
    long elements = 0;
    Job job;
    if (std::sscanf(arguments[i], "%31[^:]:%31[^:]:%ld", kind, type, &elements) != 3 ||
        !set_kind(job, kind) || !set_type(job, type)) {
      std::fprintf(stderr, "unknown work: %s\n", arguments[i]);
      return 2;
    }
    std::vector<char> x(static_cast<size_t>(elements * size_of(job.type))), y(x.size());
    job.key.data = bytes(kKey);
    job.start.data = bytes(kStart);
    job.x.data = x.data();
    job.y = y.data();
    job.length = job.run = elements;
    measured(job);
  }
}
