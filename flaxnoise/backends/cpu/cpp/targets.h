// The SIMD targets of the library, and the target in use.
#pragma once

#include "job.h"

namespace flaxnoise {

extern const Target target_avx512;
extern const Target target_avx2;
extern const Target target_baseline;
extern const Target target_neon;

// The target in use: that of the last use_target, or the best that the processor supports.
const Target& target();

// The names of the targets that the processor supports, best first, separated by commas.
const char* target_names();

// Switches to the target of this name. False if the processor does not support it.
bool use_target(const char* name);

}  // namespace flaxnoise
