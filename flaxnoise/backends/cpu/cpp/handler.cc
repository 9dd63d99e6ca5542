// The XLA FFI handler: checks its arguments, makes a job of them, and runs it on XLA's thread pool.
#include <algorithm>
#include <bitset>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "job.h"
#include "parallel.h"
#include "targets.h"
#include "xla/ffi/api/ffi.h"

namespace flaxnoise {
namespace {

namespace ffi = xla::ffi;

using ffi::DataType;
using Dimensions = ffi::AnyBuffer::Dimensions;

// An invalid call; thrown and caught in this file only.
struct Mistake {
  std::string text;
};

std::string shape_text(Dimensions shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ",") + std::to_string(shape[i]);
  }
  return text + "]";
}

std::string type_text(DataType type) {
  return "type " + std::to_string(static_cast<int>(type)) + " of XLA";
}

[[noreturn]] void fail(std::string_view argument, const std::string& rule,
                       const std::string& given) {
  throw Mistake{"flaxnoise_affine: " + std::string(argument) + " must be " + rule + ", got " +
                given + "."};
}

Kind kind_of(std::string_view name) {
  for (const KindRow& row : KINDS) {
    if (name == row.name) return row.kind;
  }
  std::string names;
  for (const KindRow& row : KINDS) names += std::string(names.empty() ? "" : ", ") + row.name;
  fail("kind", "one of " + names, "'" + std::string(name) + "'");
}

Type type_of(DataType type) {
  switch (type) {
    case DataType::F32:
      return Type::f32;
    case DataType::F64:
      return Type::f64;
    case DataType::BF16:
      return Type::bf16;
    case DataType::F16:
      return Type::f16;
    case DataType::PRED:
      return Type::boolean;
    case DataType::U32:
      return Type::u32;
    default:
      fail("y", "of dtype float32, float64, bfloat16, float16, bool or uint32", type_text(type));
  }
}

// The buffer as an operand. Its shape must be batch dimensions, each 1 or the size of the batch,
// followed by `rest`.
Operand operand(std::string_view name, const ffi::AnyBuffer& buffer, const Job& job, DataType type,
                Dimensions rest) {
  const Dimensions shape = buffer.dimensions();
  const auto rank = static_cast<size_t>(job.batch_rank);
  if (buffer.element_type() != type) {
    fail(name, "of " + type_text(type), type_text(buffer.element_type()));
  }
  if (shape.size() != rank + rest.size()) {
    fail(name, "of rank " + std::to_string(rank + rest.size()), "the shape " + shape_text(shape));
  }
  for (size_t axis = 0; axis < rest.size(); ++axis) {
    if (shape[rank + axis] != rest[axis]) {
      fail(name, std::to_string(rest[axis]) + " long in dimension " + std::to_string(rank + axis),
           "the shape " + shape_text(shape));
    }
  }
  Operand result;
  int64_t stride = static_cast<int64_t>(ffi::ByteWidth(type));
  for (const int64_t size : rest) stride *= size;
  for (size_t axis = rank; axis-- > 0;) {
    if (shape[axis] != 1 && shape[axis] != job.batch[axis]) {
      fail(name,
           "1 or " + std::to_string(job.batch[axis]) + " long in dimension " + std::to_string(axis),
           "the shape " + shape_text(shape));
    }
    result.strides[axis] = shape[axis] == 1 ? 0 : stride;
    stride *= shape[axis];
  }
  // Null stands for an absent operand. An empty buffer may be null, too, so it gets an address that
  // is never read.
  static constexpr char kEmpty = 0;
  result.data = static_cast<const char*>(buffer.untyped_data());
  if (result.data == nullptr) result.data = &kEmpty;
  return result;
}

// Divides a shard into runs of consecutive linear indices in the global array.
void set_runs(Job& job, Dimensions shape, ffi::Span<const int64_t> whole) {
  if (whole.size() != shape.size()) {
    fail("global_shape", "of length " + std::to_string(shape.size()),
         "a length of " + std::to_string(whole.size()));
  }
  uint64_t stride = 1;
  bool consecutive = true;
  for (size_t axis = shape.size(); axis-- > 0;) {
    if (whole[axis] < shape[axis]) {
      fail("global_shape",
           "at least " + std::to_string(shape[axis]) + " in dimension " + std::to_string(axis),
           std::to_string(whole[axis]));
    }
    job.length *= shape[axis];
    if (consecutive) {
      job.run *= shape[axis];
    } else if (shape[axis] != 1) {
      job.outer[job.outer_rank] = shape[axis];
      job.outer_strides[job.outer_rank++] = stride;
    }
    consecutive = consecutive && whole[axis] == shape[axis];
    stride *= static_cast<uint64_t>(whole[axis]);
  }
  std::reverse(job.outer, job.outer + job.outer_rank);
  std::reverse(job.outer_strides, job.outer_strides + job.outer_rank);
}

// Checks y's type for the kind of noise, with and without coefficients.
void check_type(const Job& job, bool coefficients) {
  const bool floating = job.type != Type::boolean && job.type != Type::u32;
  const bool words = job.kind == Kind::bits || job.kind == Kind::halves;
  if (words && (coefficients || job.type != Type::u32)) {
    fail("y", "of dtype uint32 and without coefficients for words", "something else");
  }
  const bool mask = job.kind == Kind::keep && !coefficients;
  if (!words && (mask ? job.type != Type::boolean : !floating)) {
    fail("y", mask ? "of dtype bool for a mask" : "of a floating dtype for this kind",
         "something else");
  }
}

// The operands in the order of the arguments. Bit i of the attribute `operands` is set if the i-th
// is present.
struct OperandRow {
  const char* name;
  Operand Job::* member;
};
constexpr OperandRow kOperands[] = {
    {"key", &Job::key}, {"start", &Job::start}, {"threshold", &Job::threshold},
    {"x", &Job::x},     {"a", &Job::a},         {"b", &Job::b},
    {"c", &Job::c},     {"d", &Job::d}};
constexpr size_t kOperandCount = std::size(kOperands);

Job job_of(std::string_view kind, int64_t operands, ffi::Span<const int64_t> global_shape,
           const ffi::RemainingArgs& args, ffi::AnyBuffer y) {
  Job job;
  job.kind = kind_of(kind);
  job.type = type_of(y.element_type());
  job.y = static_cast<char*>(y.untyped_data());
  const std::bitset<kOperandCount> present(static_cast<unsigned long long>(operands));
  if (!present[0] || operands >> kOperandCount != 0 || present.count() != args.size()) {
    fail("operands", "a mask of " + std::to_string(kOperandCount) + " bits, the key's among them",
         std::to_string(operands) + " for " + std::to_string(args.size()) + " buffers");
  }
  const auto buffer = [&](size_t i) { return args.get<ffi::AnyBuffer>(i).value(); };

  const Dimensions out = y.dimensions(), key = buffer(0).dimensions();
  if (key.size() < 1 || key.size() - 1 > out.size() || out.size() > kMaxRank) {
    fail("y", "of a rank from the key's number of batch dimensions to " + std::to_string(kMaxRank),
         "the shapes " + shape_text(out) + " and, of the key, " + shape_text(key));
  }
  job.batch_rank = static_cast<int>(key.size()) - 1;
  for (int axis = 0; axis < job.batch_rank; ++axis) {
    job.batch[axis] = out[static_cast<size_t>(axis)];
    job.items *= job.batch[axis];
  }
  const Dimensions shape(out.begin() + job.batch_rank,
                         out.size() - static_cast<size_t>(job.batch_rank));
  set_runs(job, shape, global_shape);

  const DataType precision = job.type == Type::f64 ? DataType::F64 : DataType::F32;
  // Arrays without allocations, which would take a sixth of the time of a small draw.
  static constexpr int64_t kKeyWords[] = {4}, kStartWords[] = {2};
  const Dimensions one(kKeyWords, 0);
  const std::pair<DataType, Dimensions> expected[] = {{DataType::U32, Dimensions(kKeyWords, 1)},
                                                      {DataType::U32, Dimensions(kStartWords, 1)},
                                                      {DataType::U32, one},
                                                      {y.element_type(), shape},
                                                      {precision, one},
                                                      {precision, one},
                                                      {precision, one},
                                                      {precision, one}};
  for (size_t i = 0, next = 0; i < kOperandCount; ++i) {
    if (!present[i]) continue;
    const auto& [type, rest] = expected[i];
    job.*kOperands[i].member = operand(kOperands[i].name, buffer(next++), job, type, rest);
  }
  const bool linear = job.a.data || job.b.data;
  check_type(job, linear || job.c.data || job.d.data);
  if (linear != (job.x.data != nullptr)) {
    fail("operands", "with x where there is a or b, and there alone", std::to_string(operands));
  }
  const bool drops = job.kind == Kind::masked_normal || job.kind == Kind::keep;
  if (drops && job.threshold.data == nullptr) {
    fail("operands", "with a threshold for this kind", std::to_string(operands));
  }
  return job;
}

// Elements per task, a multiple of a chunk: some ten microseconds of work.
int64_t grain(Kind kind) {
  return kind == Kind::normal || kind == Kind::masked_normal ? 16 * CHUNK : 32 * CHUNK;
}

ffi::Error affine(ffi::ThreadPool pool, std::string_view kind, int64_t operands,
                  ffi::Span<const int64_t> global_shape, ffi::RemainingArgs args,
                  ffi::Result<ffi::AnyBuffer> y) try {
  const Job job = job_of(kind, operands, global_shape, args, *y);
  const Target& simd = target();
  const int64_t elements = job.items * job.length, step = grain(job.kind);
  const int64_t tasks = (elements + step - 1) / step;
  const auto work = [&](int64_t i) {
    run(job, simd, i * step, std::min(elements, (i + 1) * step));
  };
  if (tasks <= 2) {
    if (elements > 0) run(job, simd, 0, elements);
    return ffi::Error::Success();
  }
  const int64_t helpers = std::min(pool.num_threads(), tasks) - 1;
  in_parallel(tasks, helpers, [&](auto task) { pool.Schedule(std::move(task)); }, work);
  return ffi::Error::Success();
} catch (const Mistake& mistake) {
  return ffi::Error::InvalidArgument(mistake.text);
}

}  // namespace
}  // namespace flaxnoise

#define FLAXNOISE_EXPORT __attribute__((visibility("default")))

extern "C" FLAXNOISE_EXPORT XLA_FFI_Error* flaxnoise_affine(XLA_FFI_CallFrame* call_frame);

XLA_FFI_DEFINE_HANDLER_SYMBOL(flaxnoise_affine, flaxnoise::affine,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .Attr<std::string_view>("kind")
                                  .Attr<int64_t>("operands")
                                  .Attr<xla::ffi::Span<const int64_t>>("global_shape")
                                  .RemainingArgs()
                                  .Ret<xla::ffi::AnyBuffer>());

// Called by flaxnoise/backends/cpu/library.py.
extern "C" {

FLAXNOISE_EXPORT int flaxnoise_ffi_major() { return XLA_FFI_API_MAJOR; }
FLAXNOISE_EXPORT int flaxnoise_ffi_minor() { return XLA_FFI_API_MINOR; }
// "name domain,name domain,…"
FLAXNOISE_EXPORT const char* flaxnoise_kinds() {
  static const std::string text = [] {
    std::string rows;
    for (const flaxnoise::KindRow& row : flaxnoise::KINDS) {
      rows += (rows.empty() ? "" : ",") + std::string(row.name) + " " + std::to_string(row.domain);
    }
    return rows;
  }();
  return text.c_str();
}
FLAXNOISE_EXPORT const char* flaxnoise_targets() { return flaxnoise::target_names(); }
FLAXNOISE_EXPORT const char* flaxnoise_target() { return flaxnoise::target().name; }
FLAXNOISE_EXPORT int flaxnoise_use_target(const char* name) {
  return flaxnoise::use_target(name) ? 1 : 0;
}
}
