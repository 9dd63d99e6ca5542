// Calls of the kernel that the drivers of the tests share.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "job.h"
#include "targets.h"

namespace flaxnoise {

// The coefficients that a call has, by their values' places in a table of four.
struct Coefficients {
  bool a, b, c, d;
  bool linear() const { return a || b; }
  bool any() const { return a || b || c || d; }
};

constexpr Kind kFloating[] = {Kind::keep,    Kind::normal,       Kind::masked_normal,
                              Kind::uniform, Kind::unit_uniform, Kind::laplace};
constexpr Type kTypes[] = {Type::f32, Type::f64, Type::bf16, Type::f16};

// What a call reads besides x.
struct Parameters {
  uint32_t key[4] = {1, 2, 3, 4};
  uint32_t start[2] = {0, 0};
  uint32_t threshold = 0;
  float floats[4] = {};
  double doubles[4] = {};

  void coefficients(const float (&values)[4]) {
    for (int i = 0; i < 4; ++i) doubles[i] = floats[i] = values[i];
  }
};

// The call without x, y and sizes; it refers to the parameters.
inline Job job_of(Kind kind, Type type, const Coefficients& has, const Parameters& from) {
  const auto bytes = [](const auto& value) { return reinterpret_cast<const char*>(&value); };
  const auto value = [&](int i) {
    return type == Type::f64 ? bytes(from.doubles[i]) : bytes(from.floats[i]);
  };
  Job job;
  job.kind = kind;
  job.type = type;
  job.key.data = bytes(from.key);
  job.start.data = bytes(from.start);
  if (kind == Kind::keep || kind == Kind::masked_normal) job.threshold.data = bytes(from.threshold);
  if (has.a) job.a.data = value(0);
  if (has.b) job.b.data = value(1);
  if (has.c) job.c.data = value(2);
  if (has.d) job.d.data = value(3);
  return job;
}

// Two items, each a box of rows of `row` elements that lie `gap` elements apart.
inline void set_shape(Job& job, int64_t rows, int64_t row, int64_t gap) {
  job.batch_rank = 1;
  job.items = job.batch[0] = 2;
  job.length = rows * row;
  job.run = row;
  if (rows > 1) {
    job.outer_rank = 1;
    job.outer[0] = rows;
    job.outer_strides[0] = static_cast<uint64_t>(row + gap);
  }
}

inline std::vector<std::string> names_of_targets() {
  std::vector<std::string> names;
  const std::string joined = target_names();
  for (size_t begin = 0; begin < joined.size();) {
    const size_t end = std::min(joined.find(',', begin), joined.size());
    names.push_back(joined.substr(begin, end - begin));
    begin = end + 1;
  }
  return names;
}

}  // namespace flaxnoise
