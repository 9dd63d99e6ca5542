// The kernel for one SIMD target; compiled once per target, with FLAXNOISE_TARGET as its name.
#include "dropout.h"
#include "job.h"
#include "targets.h"
#include "variates.h"

namespace flaxnoise {
namespace {

static_assert(2 * sizeof(Schedule) <= sizeof(Scratch::schedules));

// The schedule of an item's key; recomputed only if the upper half of the block number changes.
const Schedule& schedule(Scratch& scratch, int slot, const Item& item, uint32_t domain,
                         uint64_t block) {
  Schedule& s = *reinterpret_cast<Schedule*>(scratch.schedules[slot]);
  if (scratch.high[slot] != block >> 32) {
    scratch.high[slot] = block >> 32;
    prepare(s, item.key, domain, static_cast<uint32_t>(block >> 32));
  }
  return s;
}

// Whether the blocks [begin, end) of a chunk have to be computed; if so, records them as computed.
bool claim(Scratch::Filled& filled, uint64_t chunk, int begin, int end) {
  if (filled.chunk == chunk && filled.begin <= begin && end <= filled.end) return false;
  filled.chunk = chunk;
  filled.begin = begin;
  filled.end = end;
  return true;
}

// Computes the words of the mask of elements [begin, end) of a chunk, one for two elements.
void make_keep_words(Scratch& scratch, const Item& item, uint64_t chunk, int begin, int end) {
  const bool both_halves = begin < HALF && end > HALF;
  const int first = both_halves ? 0 : (begin % HALF) / 4;
  const int last = both_halves ? HALF / 4 : ((end - 1) % HALF) / 4 + 1;
  if (!claim(scratch.filled_words, chunk, first, last)) return;
  const uint64_t block = chunk * (HALF / 4);
  const Schedule& s = schedule(scratch, 0, item, domain_of(Kind::keep), block);
  fill_words(s, static_cast<uint32_t>(block), first, last, scratch.words, [](U32 w) { return w; });
}

// Sets normals to 0 where the mask keeps, for elements [begin, end) of one half of a chunk.
template <bool kUpper>
void mask_normals(Scratch& scratch, uint32_t threshold, int begin, int end) {
  for (int i = begin - begin % kLanes; i < end; i += kLanes) {
    float* n = scratch.noise + i;
    const I32 kept = keeps<Element<Type::f32>, kUpper>(scratch.words + i % HALF, threshold);
    store(n, kept ? F32{} : load<F32>(n));
  }
}

// Computes noise of 32 bits per element, for elements [begin, end) of a chunk.
void make_noise(Scratch& scratch, const Job& job, const Item& item, uint64_t chunk, int begin,
                int end) {
  const int first = begin / 4, last = (end + 3) / 4;
  if (!claim(scratch.filled_noise, chunk, first, last)) return;
  const uint64_t block = chunk * (CHUNK / 4);
  const auto low = static_cast<uint32_t>(block);
  const Schedule& s = schedule(scratch, 1, item, domain_of(job.kind), block);
  switch (job.kind) {
    case Kind::bits:
      return fill_words(s, low, first, last, reinterpret_cast<uint32_t*>(scratch.noise),
                        [](U32 w) { return w; });
    case Kind::uniform:
      return fill_words(s, low, first, last, scratch.noise, uniform);
    case Kind::unit_uniform:
      return fill_words(s, low, first, last, scratch.noise, unit_uniform);
    case Kind::laplace:
      return fill_words(s, low, first, last, scratch.noise, laplace);
    default:
      fill_normals(s, low, first, last, scratch.noise);
  }
  if (!item.masked) return;
  // Masks whole blocks, as other runs in this chunk may use them.
  begin = 4 * first;
  end = 4 * last;
  make_keep_words(scratch, item, chunk, begin, end);
  if (begin < HALF) {
    mask_normals<false>(scratch, item.threshold, begin, end < HALF ? end : HALF);
  }
  if (end > HALF) mask_normals<true>(scratch, item.threshold, begin > HALF ? begin : HALF, end);
}

// Writes elements of one half of a chunk, given their words.
template <Type type, bool kUpper>
void keep_half(const Item& item, const uint32_t* words, int count, const char* x, char* y) {
  if constexpr (type == Type::boolean) {
    constexpr int kStep = 64;
    int i = 0;
    for (; i < count; i += kStep) {
      char kept[kStep];
      for (int lane = 0; lane < kStep; ++lane) {
        const uint32_t w = words[i + lane], u = kUpper ? w << 16 | w >> 16 : w;
        kept[lane] = (u >> 1) >= item.threshold;
      }
      std::memcpy(y + i, kept, static_cast<size_t>(count - i < kStep ? count - i : kStep));
    }
  } else if constexpr (type == Type::u32) {
    each_element<Type::u32, false>(count, x, y, [=](U32, int i) {
      const U32 w = load<U32>(words + i);
      return kUpper ? w << 16 | w >> 16 : w;
    });
  } else {
    keep<type, kUpper>(item, words, count, x, y);
  }
}

template <Type type>
void keep_piece(const Item& item, Scratch& scratch, uint64_t index, int count, const char* x,
                char* y) {
  if constexpr (type == Type::f32 || type == Type::bf16 || type == Type::f16) {
    if (count == CHUNK && item.step == Step::drop) {
      const uint64_t block = index / CHUNK * (HALF / 4);
      const Schedule& s = schedule(scratch, 0, item, domain_of(Kind::keep), block);
      return drop_chunk<type>(s, static_cast<uint32_t>(block), item, x, y);
    }
  }
  const int begin = static_cast<int>(index % CHUNK), end = begin + count;
  make_keep_words(scratch, item, index / CHUNK, begin, end);
  int lower = begin < HALF ? (end < HALF ? end : HALF) - begin : 0;
  if (lower > 0) keep_half<type, false>(item, scratch.words + begin, lower, x, y);
  if (end <= HALF) return;
  const int64_t bytes = lower * size_of(type);
  const int upper_begin = begin + lower - HALF;
  x = x == nullptr ? nullptr : x + bytes;
  keep_half<type, true>(item, scratch.words + upper_begin, count - lower, x, y + bytes);
}

template <Type type>
void typed_piece(const Job& job, const Item& item, Scratch& scratch, uint64_t index, int count,
                 const char* x, char* y) {
  if (item.step == Step::fill || item.step == Step::map) return map<type>(item, count, x, y);
  if (job.kind == Kind::keep) return keep_piece<type>(item, scratch, index, count, x, y);
  const int begin = static_cast<int>(index % CHUNK);
  make_noise(scratch, job, item, index / CHUNK, begin, begin + count);
  noise<type>(item, scratch.noise + begin, count, x, y);
}

void piece(const Job& job, const Item& item, Scratch& scratch, uint64_t index, int count,
           const char* x, char* y) {
  if (item.step == Step::copy) {
    if (x != y) std::memcpy(y, x, static_cast<size_t>(count * size_of(job.type)));
    return;
  }
  switch (job.type) {
    case Type::f32:
      return typed_piece<Type::f32>(job, item, scratch, index, count, x, y);
    case Type::f64:
      return typed_piece<Type::f64>(job, item, scratch, index, count, x, y);
    case Type::bf16:
      return typed_piece<Type::bf16>(job, item, scratch, index, count, x, y);
    case Type::f16:
      return typed_piece<Type::f16>(job, item, scratch, index, count, x, y);
    case Type::boolean:
      return keep_piece<Type::boolean>(item, scratch, index, count, x, y);
    case Type::u32:
      if (job.kind == Kind::halves) {
        return keep_piece<Type::u32>(item, scratch, index, count, x, y);
      }
      const int begin = static_cast<int>(index % CHUNK);
      make_noise(scratch, job, item, index / CHUNK, begin, begin + count);
      std::memcpy(y, scratch.noise + begin, static_cast<size_t>(count) * sizeof(uint32_t));
  }
}

}  // namespace

#define FLAXNOISE_TEXT(name) #name
#define FLAXNOISE_STRING(name) FLAXNOISE_TEXT(name)
#define FLAXNOISE_JOIN(a, b) a##b
#define FLAXNOISE_SYMBOL(a, b) FLAXNOISE_JOIN(a, b)

const Target FLAXNOISE_SYMBOL(target_, FLAXNOISE_TARGET) = {FLAXNOISE_STRING(FLAXNOISE_TARGET),
                                                            piece};

}  // namespace flaxnoise
