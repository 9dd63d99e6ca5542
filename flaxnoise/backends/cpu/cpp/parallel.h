// Parallel loops on a shared thread pool.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

namespace flaxnoise {

// Calls work(i) for each i in [0, tasks), on the caller's thread and up to `helpers` threads that
// schedule(function) provides.
//
// The caller works itself, and only waits for tasks that a helper has already begun. So it makes
// progress without any helper, and cannot deadlock however many callers share a pool. A helper that
// starts after the loop has ended finds no task, and does not touch the caller's stack.
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
  // Tasks that have begun end within microseconds, so spinning is faster than sleeping.
  constexpr int kSpins = 2000;
  for (int i = 0; i < kSpins; ++i) {
    if (state->done.load(std::memory_order_acquire) == tasks) return;
    if (i % 64 == 63) std::this_thread::yield();
  }
  std::unique_lock<std::mutex> lock(state->mutex);
  state->all_done.wait(lock, [&] { return state->done.load(std::memory_order_acquire) == tasks; });
}

}  // namespace flaxnoise
