// A call of the kernel, without XLA's types: written by the FFI handler, read by the SIMD targets.
#pragma once

#include <cstdint>

#include "kinds.h"
#include "stream.h"

namespace flaxnoise {

enum class Type { f32, f64, bf16, f16, boolean, u32 };

constexpr int kMaxRank = 16;

// An operand, with its strides in bytes along the batch dimensions; 0 for dimensions of size 1.
struct Operand {
  const char* data = nullptr;
  int64_t strides[kMaxRank] = {};
};

struct Job {
  Kind kind;
  Type type;           // of x and y
  int64_t items = 1;   // product of the batch dimensions
  int64_t length = 1;  // elements of one item
  char* y = nullptr;

  Operand key, start, threshold, x, a, b, c, d;
  int batch_rank = 0;
  int64_t batch[kMaxRank] = {};

  // An item is a shard of the global array: runs of consecutive linear indices, one for each
  // position in the outer dimensions.
  int64_t run = 1;
  int outer_rank = 0;
  int64_t outer[kMaxRank] = {};
  uint64_t outer_strides[kMaxRank] = {};
};

// The form of the formula for an item, chosen by the values of its coefficients.
enum class Step {
  copy,    // y = x
  fill,    // y = offset
  map,     // y = x·factor + offset
  raw,     // y = n
  drop,    // y = keep ? x·factor : 0
  blend,   // y = keep ? x·factor + offset : x·factor' + offset'
  choose,  // y = keep ? offset : offset'
  value,   // y = c + d·n
  add,     // y = x·a + (c + d·n)
  scale,   // y = x·(a + b·n)
  affine   // y = x·(a + b·n) + (c + d·n)
};

struct Line {
  double factor;
  double offset;
};

// One element of the batch.
struct Item {
  uint32_t key[4];
  uint64_t start;
  uint32_t threshold;
  bool masked;  // n is 0 where the mask keeps
  Step step;
  Line first;   // kind keep: the line where n = 1; other kinds: the constants a and c
  Line second;  // kind keep: the line where n = 0; other kinds: the slopes b and d
  const char* x;
  char* y;
};

// Buffers that a thread keeps between the pieces of an item, so that short runs in one chunk share
// its words.
struct Scratch {
  struct Filled {
    uint64_t chunk = 0;
    int begin = 0, end = 0;  // blocks of the chunk in the buffer
  };
  alignas(64) uint32_t words[HALF + 128];
  alignas(64) float noise[CHUNK + 128];
  alignas(64) char schedules[2][2048];
  uint64_t high[2];  // upper half of the block numbers of each schedule
  Filled filled_words, filled_noise;

  void reset() {
    high[0] = high[1] = ~uint64_t{0};
    filled_words = filled_noise = Filled{};
  }
};

// A SIMD target: `piece` computes `count` elements from linear index `index` on, all in one chunk.
struct Target {
  const char* name;
  void (*piece)(const Job& job, const Item& item, Scratch& scratch, uint64_t index, int count,
                const char* x, char* y);
};

int64_t size_of(Type type);

// Computes the elements [begin, end) of a job, numbered across all items.
void run(const Job& job, const Target& target, int64_t begin, int64_t end);

}  // namespace flaxnoise
