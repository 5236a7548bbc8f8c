// One TLS connection without a socket: ciphertext in, plaintext out, and back. OpenSSL reads straight from the
// received slices and writes straight into pool blocks. One thread owns a Channel.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "common/openssl.h"
#include "userspace-proxy/ring/buffer.h"
#include "userspace-proxy/tls/credentials.h"
#include "userspace-proxy/tls/failure.h"
#include "userspace-proxy/tls/handshake.h"
#include "userspace-proxy/tls/origin.h"
#include "userspace-proxy/tls/wire.h"

namespace leat::tls {

class Channel {
 public:
  enum class State : uint8_t {
    kHandshaking,
    kOpen,
    kPeerClosed,  // close_notify arrived: no plaintext follows, ours may still go out
    kFailed,      // failure() says why; an alert may wait in the output
  };

  // The dialling side: the peer must prove one of `expected`.
  static Channel client(CredentialsPtr credentials, std::vector<SpiffeId> expected, ring::BufferPool& pool);
  // The accepting side: the peer must prove any identity of our trust domain.
  static Channel server(CredentialsPtr credentials, ring::BufferPool& pool);

  // Towards a server outside the mesh, by TLS 1.2 or 1.3. `alpn`: the one protocol that is offered; empty: none.
  static Channel towards(std::shared_ptr<const Origin> origin, const Origin::Context& context, std::string_view alpn,
                         ring::BufferPool& pool);

  // Stores received bytes; runs nothing, so that the caller decides when a handshake (about 740 us of CPU) gets its
  // turn.
  void feed(ring::Chain&& ciphertext) { wire_->input.append(std::move(ciphertext)); }
  // TCP ended. Without an earlier close_notify, what runs out of bytes fails with kTruncated.
  void feed_end() { ended_ = true; }

  // Takes the handshake as far as the bytes allow; a client's first call makes its ClientHello.
  State handshake();
  // Appends decrypted bytes to `plaintext`, which then owns pool blocks. Stops early (stalled()) when the pool is dry:
  // stop receiving, call again once blocks are back.
  State read(ring::Chain& plaintext);
  // Encrypts from the front of `plaintext` into the output, in records of up to 16 KiB that span slices, until it is
  // empty, the output holds `output_limit` bytes or the pool is dry. What was not taken stays in the chain.
  State write(ring::Chain& plaintext, size_t output_limit);
  // Sends close_notify, once; nothing can be written after it.
  void close();
  [[nodiscard]] bool close_sent() const { return close_sent_; }

  // Everything to send so far. Never touches OpenSSL.
  [[nodiscard]] ring::Chain take_output() { return std::move(wire_->output); }
  [[nodiscard]] size_t output_size() const { return wire_->output.size(); }

  [[nodiscard]] State state() const { return state_; }
  // The pool was dry in the last call: back-pressure, not a failure.
  [[nodiscard]] bool stalled() const { return wire_->stalled; }
  [[nodiscard]] const Failure& failure() const { return failure_; }
  // The verified peer; only once the handshake is through.
  [[nodiscard]] const PeerCertificate& peer() const { return peer_; }
  // What the other side chose of what was offered; empty: nothing.
  [[nodiscard]] std::string_view alpn() const;

 private:
  Channel(SSL_CTX* context, ring::BufferPool& pool);
  Channel(CredentialsPtr credentials, std::vector<SpiffeId> expected, ring::BufferPool& pool, bool is_server);
  void opened();
  State stopped(int result);  // after an OpenSSL call that did not succeed
  State fail(FailureKind kind, std::string message, uint8_t alert = 0);

  CredentialsPtr credentials_;            // null towards servers outside the mesh
  std::shared_ptr<const Origin> origin_;  // else null
  std::unique_ptr<Wire> wire_;            // OpenSSL holds its address; the Channel moves
  std::unique_ptr<Handshake> handshake_;  // until the handshake is through
  ssl::Connection ssl_;
  PeerCertificate peer_;
  Failure failure_;
  State state_ = State::kHandshaking;
  bool ended_ = false;
  bool close_sent_ = false;
};

}  // namespace leat::tls
