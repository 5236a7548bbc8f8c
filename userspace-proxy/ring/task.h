// Coroutines of the proxy. A Task<T> is lazy: it starts when it is awaited and gives its value to its one awaiter by
// symmetric transfer, so that long chains of awaits cost no stack. A frame is destroyed only at its end: code that
// waits for the kernel is never torn down half-way; to end it early, cancel what it waits for. Exceptions do not cross
// a task: one that escapes stops the program.
#pragma once

#include <coroutine>
#include <cstdlib>
#include <optional>
#include <utility>

namespace leat::ring {

template <typename T = void>
class Task;

namespace detail {

struct PromiseBase {
  std::coroutine_handle<> continuation = std::noop_coroutine();

  static std::suspend_always initial_suspend() noexcept { return {}; }
  struct Final {
    static bool await_ready() noexcept { return false; }
    template <typename Promise>
    static std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) noexcept {
      return done.promise().continuation;
    }
    static void await_resume() noexcept {}
  };
  static Final final_suspend() noexcept { return {}; }
  [[noreturn]] static void unhandled_exception() noexcept { std::abort(); }
};

template <typename T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <typename U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  static void return_void() {}
};

}  // namespace detail

template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() = default;
  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  struct Awaiter {
    Handle handle;
    static bool await_ready() noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) noexcept {
      handle.promise().continuation = awaiting;
      return handle;
    }
    T await_resume() {
      if constexpr (!std::is_void_v<T>) return std::move(*handle.promise().value);
    }
  };
  Awaiter operator co_await() && noexcept { return Awaiter{handle_}; }

 private:
  Handle handle_;
};

namespace detail {
template <typename T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}
}  // namespace detail

// A coroutine that owns itself: it runs at once until its first wait, and its frame goes when it ends.
struct Detached {
  struct promise_type {
    static Detached get_return_object() { return {}; }
    static std::suspend_never initial_suspend() noexcept { return {}; }
    static std::suspend_never final_suspend() noexcept { return {}; }
    static void return_void() {}
    [[noreturn]] static void unhandled_exception() noexcept { std::abort(); }
  };
};

// Starts `task` now and lets it run to its end on its own.
inline void start(Task<void> task) {
  [](Task<void> owned) -> Detached { co_await std::move(owned); }(std::move(task));
}

// One coroutine waits; set() wakes it. A set() with nobody waiting is remembered once. The waiter resumes inside set():
// call it last.
class Signal {
 public:
  void set() {
    if (auto waiter = std::exchange(waiter_, {})) {
      waiter.resume();
    } else {
      set_ = true;
    }
  }
  [[nodiscard]] bool has_waiter() const { return static_cast<bool>(waiter_); }

  struct Awaiter {
    Signal& signal;
    bool await_ready() noexcept { return std::exchange(signal.set_, false); }
    void await_suspend(std::coroutine_handle<> handle) noexcept { signal.waiter_ = handle; }
    static void await_resume() noexcept {}
  };
  Awaiter wait() { return Awaiter{*this}; }

 private:
  std::coroutine_handle<> waiter_;
  bool set_ = false;
};

// Runs both to their ends, concurrently.
inline Task<void> both(Task<void> a, Task<void> b) {
  int open = 2;
  Signal done;
  auto run = [](Task<void> task, int& left, Signal& signal) -> Detached {
    co_await std::move(task);
    if (--left == 0) signal.set();
  };
  run(std::move(a), open, done);
  run(std::move(b), open, done);
  if (open > 0) co_await done.wait();
}

}  // namespace leat::ring
