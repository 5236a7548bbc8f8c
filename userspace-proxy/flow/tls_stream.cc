#include "userspace-proxy/flow/tls_stream.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "common/log.h"
#include "userspace-proxy/flow/worker.h"

namespace leat::proxy {
namespace {

using State = tls::Channel::State;

constexpr size_t kOutputBytes = 64 * 1024;  // of ciphertext at once

Reason reason_of(tls::FailureKind kind) {
  switch (kind) {
    case tls::FailureKind::kUnexpectedIdentity:
      return Reason::kServerName;
    case tls::FailureKind::kExpired:
    case tls::FailureKind::kNotYetValid:
      return Reason::kServerExpired;
    case tls::FailureKind::kUnknownIssuer:
    case tls::FailureKind::kBadCertificate:
      return Reason::kServerUntrusted;
    default:
      return Reason::kServerTlsFailed;
  }
}

// Of the handshake; what it says when it fails may be the last that the server hears.
ring::Task<ring::IoResult<void>> flush(ring::Socket& socket, tls::Channel& channel) {
  ring::Chain out = channel.take_output();
  if (out.empty()) co_return ring::IoResult<void>();
  co_return co_await socket.send(std::move(out));
}

ring::Task<Outcome<void>> handshake(Worker& worker, ring::Socket& socket, tls::Channel& channel, std::string& problem,
                                    ring::Clock::time_point deadline) {
  bool late = false;
  ring::Timer patience(worker.loop.timers(), [&] {
    late = true;
    socket.cancel_all();
  });
  patience.arm(deadline);
  for (;;) {
    const State state = channel.handshake();
    const auto sent = co_await flush(socket, channel);
    if (state == State::kFailed) {
      problem = channel.failure().message;
      co_return std::unexpected(reason_of(channel.failure().kind));
    }
    if (state == State::kOpen) co_return Outcome<void>();
    ring::IoResult<ring::Chain> got;
    if (sent && channel.stalled()) {
      co_await worker.loop.sleep_until(worker.loop.now() + limits::kDryPoolRetry);
      if (!late) continue;
    } else if (sent && !late) {
      got = co_await socket.recv();
    }
    if (late) {
      problem = "the server did not finish the handshake in time";
      co_return std::unexpected(Reason::kConnectTimeout);
    }
    if (!sent || !got) {
      problem = fmt::format("the handshake broke: {}", std::strerror((sent ? got.error() : sent.error()).value));
      co_return std::unexpected(Reason::kServerTlsFailed);
    }
    got->empty() ? channel.feed_end() : channel.feed(std::move(*got));
  }
}

}  // namespace

TlsStream::TlsStream(ring::Loop& loop, ring::Socket socket, tls::Channel channel)
    : state_(new State{loop, std::move(socket), std::move(channel)}) {}

ring::Task<ring::IoResult<ring::Chain>> TlsStream::receive(State& state) {
  for (;;) {
    ring::Chain plaintext;
    const auto reached = state.channel.read(plaintext);
    if (!plaintext.empty()) co_return plaintext;
    if (reached == tls::Channel::State::kPeerClosed) co_return ring::Chain();
    if (reached == tls::Channel::State::kFailed) {
      log::debug("TLS with {}: {}", state.socket.peer_address().text(), state.channel.failure().message);
      co_return std::unexpected(ring::Errno{ECONNRESET});
    }
    if (state.channel.stalled() && state.socket.is_open()) {
      co_await state.loop.sleep_until(state.loop.now() + limits::kDryPoolRetry);
      continue;
    }
    ring::IoResult<ring::Chain> got = co_await state.socket.recv();
    if (!got) co_return std::unexpected(got.error());
    got->empty() ? state.channel.feed_end() : state.channel.feed(std::move(*got));
  }
}

ring::Task<ring::IoResult<void>> TlsStream::transmit(State& state, ring::Chain bytes) {
  while (!bytes.empty()) {
    const auto reached = state.channel.write(bytes, kOutputBytes);
    ring::Chain out = state.channel.take_output();
    if (!out.empty()) {
      if (const auto sent = co_await state.socket.send(std::move(out)); !sent) co_return std::unexpected(sent.error());
    } else if (reached == tls::Channel::State::kFailed || !state.channel.stalled()) {
      co_return std::unexpected(ring::Errno{EPIPE});
    } else {
      co_await state.loop.sleep_until(state.loop.now() + limits::kDryPoolRetry);
      if (!state.socket.is_open()) co_return std::unexpected(ring::Errno{ECANCELED});
    }
  }
  co_return ring::IoResult<void>();
}

// A few bytes, behind all that was sent: where the kernel has no room for them the server does without.
void TlsStream::say_goodbye() {
  if (!state_->socket.is_open()) return;
  state_->channel.close();
  const ring::Chain out = state_->channel.take_output();
  for (const ring::Buffer& slice : out.slices()) {
    if (::send(state_->socket.fd(), slice.data(), slice.size(), MSG_DONTWAIT | MSG_NOSIGNAL) !=
        static_cast<ssize_t>(slice.size()))
      return;
  }
}

void TlsStream::finish() {
  say_goodbye();
  state_->socket.finish();
}

void TlsStream::close() {
  say_goodbye();
  state_->socket.close();
}

ring::Task<Outcome<TlsStream>> start_tls(Worker& worker, ring::Socket socket, const Backend& backend,
                                         std::string_view alpn, ring::Clock::time_point deadline) {
  const std::shared_ptr<const tls::Origin> origin = backend.policy->origin;
  const auto fail = [&](Reason reason, std::string_view problem) {
    const auto now = worker.loop.now();
    if (now >= worker.next_origin_line) {
      worker.next_origin_line = now + std::chrono::seconds(1);
      log::warn("TLS to {} ({}): {}", backend.target.text(),
                origin->settings().sni.empty() ? "no name" : origin->settings().sni, problem);
    }
    return std::unexpected(reason);
  };
  const Result<tls::Origin::Context> context = origin->context();
  if (!context) co_return fail(Reason::kOwnCredentials, context.error().message);
  tls::Channel channel = tls::Channel::towards(origin, *context, alpn, worker.loop.buffers());
  std::string problem;
  const Outcome<void> shaken = co_await handshake(worker, socket, channel, problem, deadline);
  if (!shaken) co_return fail(shaken.error(), problem);
  if (alpn == "h2" && channel.alpn() != "h2") {
    co_return fail(Reason::kServerTlsFailed, "the server does not offer HTTP/2 (ALPN h2)");
  }
  co_return TlsStream(worker.loop, std::move(socket), std::move(channel));
}

}  // namespace leat::proxy
