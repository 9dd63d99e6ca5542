#include "job.h"

#include <cmath>
#include <cstring>

namespace flaxnoise {
namespace {

int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

struct Position {
  int64_t digits[kMaxRank];
};

Position unravel(int64_t index, const int64_t* sizes, int rank) {
  Position position;
  for (int axis = rank - 1; axis >= 0; --axis) {
    position.digits[axis] = index % sizes[axis];
    index /= sizes[axis];
  }
  return position;
}

const char* at(const Operand& operand, const Position& position, int rank) {
  const char* data = operand.data;
  if (data == nullptr) return nullptr;
  for (int axis = 0; axis < rank; ++axis) data += position.digits[axis] * operand.strides[axis];
  return data;
}

template <class C>
double read(const char* data, double absent) {
  if (data == nullptr) return absent;
  C value;
  std::memcpy(&value, data, sizeof(C));
  return static_cast<double>(value);
}

// Absent terms and offsets of 0 are -0, since adding -0 preserves the sign of zeros.
double or_nothing(double offset) { return offset == 0 ? -0.0 : offset; }

Step map_step(const Job& job, Line& line) {
  if (job.x.data == nullptr) return Step::fill;
  line.offset = or_nothing(line.offset);
  if (line.factor == 0) {
    line.offset += 0.0;
    return Step::fill;
  }
  return line.factor == 1 && line.offset == 0 ? Step::copy : Step::map;
}

// Kind keep: n is 0 or 1, so each element is mapped by one of two lines.
template <class C>
void plan_keep(const Job& job, Item& item, const Line& constant, const Line& slope) {
  Line kept{C(constant.factor) + C(slope.factor), C(constant.offset) + C(slope.offset)};
  Line dropped = constant;
  if (job.x.data == nullptr) {
    if (job.c.data == nullptr) dropped.offset = 0;
    item.step = Step::choose;
  } else {
    kept.offset = or_nothing(kept.offset);
    dropped.offset = or_nothing(dropped.offset);
    const bool zeros = dropped.factor == 0 && dropped.offset == 0 && kept.offset == 0;
    const bool scales = kept.factor != 0 && kept.factor != 1 && std::isfinite(kept.factor);
    item.step = zeros && scales ? Step::drop : Step::blend;
  }
  if (item.threshold == 0) {
    item.step = map_step(job, kept);
  } else if (item.threshold >= EVERY) {
    kept = dropped;
    item.step = map_step(job, kept);
  }
  item.first = kept;
  item.second = dropped;
}

void plan_noise(const Job& job, Item& item, const Line& constant, const Line& slope) {
  item.first = constant;
  item.second = slope;
  const bool finite = std::isfinite(slope.factor) && std::isfinite(slope.offset);
  const bool zero = item.masked && item.threshold == 0 && finite;
  if (item.threshold >= EVERY) item.masked = false;
  if (zero || (slope.factor == 0 && slope.offset == 0)) {
    item.first.offset += job.x.data == nullptr && job.d.data != nullptr ? slope.offset * 0.0 : -0.0;
    item.step = map_step(job, item.first);
  } else if (job.x.data == nullptr) {
    item.step = Step::value;
  } else if (slope.factor == 0) {
    item.step = Step::add;
  } else {
    const bool offset = constant.offset != 0 || slope.offset != 0;
    item.step = offset ? Step::affine : Step::scale;
  }
}

template <class C>
void plan(const Job& job, Item& item, const Position& position) {
  const auto value = [&](const Operand& operand) {
    return read<C>(at(operand, position, job.batch_rank), -0.0);
  };
  const Line constant{value(job.a), value(job.c)};
  const Line slope{value(job.b), value(job.d)};
  if (job.kind == Kind::keep) {
    plan_keep<C>(job, item, constant, slope);
  } else {
    plan_noise(job, item, constant, slope);
  }
}

Item item_of(const Job& job, int64_t index) {
  const Position position = unravel(index, job.batch, job.batch_rank);
  Item item{};
  std::memcpy(item.key, at(job.key, position, job.batch_rank), sizeof(item.key));
  if (const char* start = at(job.start, position, job.batch_rank)) {
    uint32_t words[2];
    std::memcpy(words, start, sizeof(words));
    item.start = words[0] | static_cast<uint64_t>(words[1]) << 32;
  }
  if (const char* threshold = at(job.threshold, position, job.batch_rank)) {
    std::memcpy(&item.threshold, threshold, sizeof(item.threshold));
    if (item.threshold > EVERY) item.threshold = EVERY;
  }
  item.masked = job.kind == Kind::masked_normal;
  item.x = at(job.x, position, job.batch_rank);
  item.y = job.y + index * job.length * size_of(job.type);
  if (!(job.a.data || job.b.data || job.c.data || job.d.data)) {
    item.step = Step::raw;
  } else if (job.type == Type::f64) {
    plan<double>(job, item, position);
  } else {
    plan<float>(job, item, position);
  }
  return item;
}

// Computes the elements [begin, end) of an item, in pieces that lie in one run and one chunk.
void run_item(const Job& job, const Target& target, const Item& item, Scratch& scratch,
              int64_t begin, int64_t end) {
  const int64_t size = size_of(job.type);
  scratch.reset();
  while (begin < end) {
    const int64_t in_run = begin % job.run;
    const Position position = unravel(begin / job.run, job.outer, job.outer_rank);
    uint64_t index = item.start + static_cast<uint64_t>(in_run);
    for (int axis = 0; axis < job.outer_rank; ++axis) {
      index += static_cast<uint64_t>(position.digits[axis]) * job.outer_strides[axis];
    }
    const int64_t stop = least(end, begin - in_run + job.run);
    while (begin < stop) {
      const int64_t in_chunk = static_cast<int64_t>(index % CHUNK);
      const int64_t count = least(stop - begin, CHUNK - in_chunk);
      const char* x = item.x == nullptr ? nullptr : item.x + begin * size;
      target.piece(job, item, scratch, index, static_cast<int>(count), x, item.y + begin * size);
      index += static_cast<uint64_t>(count);
      begin += count;
    }
  }
}

}  // namespace

int64_t size_of(Type type) {
  switch (type) {
    case Type::f64:
      return 8;
    case Type::bf16:
    case Type::f16:
      return 2;
    case Type::boolean:
      return 1;
    default:
      return 4;
  }
}

void run(const Job& job, const Target& target, int64_t begin, int64_t end) {
  Scratch scratch;
  while (begin < end) {
    const int64_t index = begin / job.length;
    const int64_t first = index * job.length;
    const int64_t stop = least(end, first + job.length);
    run_item(job, target, item_of(job, index), scratch, begin - first, stop - first);
    begin = stop;
  }
}

}  // namespace flaxnoise
