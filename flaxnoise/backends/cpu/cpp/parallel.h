// Splits work over the threads of a pool that others use, too.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

namespace flaxnoise {

// Calls work(i) for each i in [0, tasks), here and on up to `helpers` threads that
// schedule(function) provides.
//
// The caller takes tasks itself and waits for those alone that have begun elsewhere: so it needs no
// thread but its own, and any number of callers may share a pool of any size. A helper that comes
// too late finds nothing to do, and nothing of the caller's is touched by it.
template <class Schedule, class Work>
void in_parallel(int64_t tasks, int64_t helpers, Schedule&& schedule, const Work& work) {
  struct State {
    std::atomic<int64_t> next{0};
    std::atomic<int64_t> done{0};
    std::mutex mutex;
    std::condition_variable all_done;
  };
  const auto state = std::make_shared<State>();
  const auto take = [state, tasks, &work] {
    int64_t mine = 0;
    for (int64_t i; (i = state->next.fetch_add(1, std::memory_order_relaxed)) < tasks; ++mine) {
      work(i);
    }
    if (mine > 0 && state->done.fetch_add(mine, std::memory_order_acq_rel) + mine == tasks) {
      const std::lock_guard<std::mutex> lock(state->mutex);
      state->all_done.notify_one();
    }
  };
  for (int64_t i = 0; i < helpers; ++i) schedule(take);
  take();
  // What is left was begun: it takes microseconds, less than going to sleep and waking up.
  constexpr int kSpins = 2000;
  for (int i = 0; i < kSpins; ++i) {
    if (state->done.load(std::memory_order_acquire) == tasks) return;
    if (i % 64 == 63) std::this_thread::yield();
  }
  std::unique_lock<std::mutex> lock(state->mutex);
  state->all_done.wait(lock, [&] { return state->done.load(std::memory_order_acquire) == tasks; });
}

}  // namespace flaxnoise
