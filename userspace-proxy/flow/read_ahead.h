// A stream that is read one receive ahead: the receive may run before anybody asks for its bytes, so that a silent
// peer's end or reset is noticed, and so that what it sends next is there when it is wanted. Never more than one: what
// it brought lies here until recv() takes it, and back-pressure holds the peer meanwhile. A stream itself, in the sense
// of ring/relay.h.
#pragma once

#include <cerrno>
#include <coroutine>
#include <functional>
#include <utility>

#include "common/check.h"
#include "userspace-proxy/ring/loop.h"
#include "userspace-proxy/ring/task.h"

namespace leat::proxy {

template <typename Stream>
class ReadAhead {
 public:
  explicit ReadAhead(Stream stream) : stream_(std::move(stream)) { read(); }
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;
  ~ReadAhead() = default;  // after close(), or when the loop turns no more

  class Receive;
  [[nodiscard]] Receive recv() { return Receive(*this); }
  // Starts a receive for the next recv(), unless one runs or has ended already.
  void watch();
  // To be called once, when a receive has ended and nobody waits for it. Empty: nobody cares.
  void on_early(std::function<void()> early) { early_ = std::move(early); }
  // What the next recv() will give, where that is known.
  [[nodiscard]] const ring::IoResult<ring::Chain>* ahead() const { return state_ == State::kReady ? &got_ : nullptr; }
  // Gives bytes back, while no receive runs: the next recv() begins with them.
  void put_back(ring::Chain bytes);
  // Who waits in recv() gets ECANCELED now. The receive goes on, for the next one.
  void abandon();

  [[nodiscard]] auto send(ring::Chain&& bytes) { return stream_.send(std::move(bytes)); }
  [[nodiscard]] auto hangup() { return stream_.hangup(); }
  void finish() { stream_.finish(); }
  void reset() { stream_.reset(); }
  [[nodiscard]] Stream& stream() { return stream_; }

  // Closes the stream; ends when nothing of it is in flight any more.
  ring::Task<void> close();

 private:
  enum class State : uint8_t { kQuiet, kReading, kReady };

  ring::Detached read();

  Stream stream_;
  std::function<void()> early_;
  ring::IoResult<ring::Chain> got_;
  ring::Signal asked_;  // to receive
  ring::Signal over_;
  std::coroutine_handle<> waiter_;
  State state_ = State::kQuiet;
  bool closing_ = false;
  bool ended_ = false;
};

template <typename Stream>
class ReadAhead<Stream>::Receive {
 public:
  explicit Receive(ReadAhead& from) : from_(from) {}
  [[nodiscard]] bool await_ready() const { return from_.state_ == State::kReady || from_.closing_; }
  void await_suspend(std::coroutine_handle<> waiter) {
    from_.waiter_ = waiter;
    from_.watch();
  }
  ring::IoResult<ring::Chain> await_resume() {
    if (from_.state_ != State::kReady) return std::unexpected(ring::Errno{ECANCELED});
    from_.state_ = State::kQuiet;
    return std::exchange(from_.got_, ring::Chain());
  }

 private:
  ReadAhead& from_;
};

template <typename Stream>
void ReadAhead<Stream>::watch() {
  if (state_ != State::kQuiet || closing_) return;
  state_ = State::kReading;
  asked_.set();
}

// As long as this lives, one receive each time that it is asked for one.
template <typename Stream>
ring::Detached ReadAhead<Stream>::read() {
  while (!closing_) {
    co_await asked_.wait();
    if (state_ != State::kReading) break;  // close()
    got_ = co_await stream_.recv();
    state_ = State::kReady;
    if (const auto waiter = std::exchange(waiter_, {})) {
      waiter.resume();
    } else if (early_ && !closing_) {
      std::exchange(early_, {})();
    }
  }
  ended_ = true;
  abandon();
  over_.set();
}

template <typename Stream>
void ReadAhead<Stream>::put_back(ring::Chain bytes) {
  if (bytes.empty()) return;
  LEAT_CHECK(state_ != State::kReading, "bytes given back while later ones are on their way");
  if (state_ == State::kReady && got_) bytes.append(std::move(*got_));
  got_ = std::move(bytes);
  state_ = State::kReady;
}

template <typename Stream>
void ReadAhead<Stream>::abandon() {
  if (const auto waiter = std::exchange(waiter_, {})) waiter.resume();
}

template <typename Stream>
ring::Task<void> ReadAhead<Stream>::close() {
  closing_ = true;
  stream_.close();
  if (state_ != State::kReading) asked_.set();
  if (!ended_) co_await over_.wait();
}

}  // namespace leat::proxy
