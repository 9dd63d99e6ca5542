// The SIMD targets of this library, and the one in use.
#pragma once

#include "job.h"

namespace flaxnoise {

extern const Target target_avx512;
extern const Target target_avx2;
extern const Target target_baseline;
extern const Target target_neon;

// The target in use: the first that the processor has, or what use_target asked for.
const Target& target();

// The names of the targets that the processor has, best first, with commas between them.
const char* target_names();

// Whether the processor has a target of this name; if so, it is used from now on.
bool use_target(const char* name);

}  // namespace flaxnoise
