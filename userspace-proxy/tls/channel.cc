#include "userspace-proxy/tls/channel.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "common/check.h"

namespace leat::tls {
namespace {

constexpr size_t kRecordBytes = 16 * 1024;  // RFC 8446, section 5.1
// Blocks that one record may need: its plaintext gathered, and its ciphertext across a block's end.
constexpr uint32_t kBlocksARecord = 3;

// The front of `plaintext` as one piece of at most a record. Short slices are gathered into `scratch`; a slice that
// fills the record, or is all there is, is used where it lies.
std::span<const uint8_t> next_record(const ring::Chain& plaintext, ring::Buffer& scratch, ring::BufferPool& pool) {
  const std::span<const ring::Buffer> slices = plaintext.slices();
  const std::span<const uint8_t> front = slices.front().bytes();
  if (slices.size() == 1 || front.size() >= kRecordBytes) return front.first(std::min(front.size(), kRecordBytes));
  if (!scratch.has_block()) scratch = pool.allocate();
  size_t filled = 0;
  for (const ring::Buffer& slice : slices) {
    const size_t part = std::min<size_t>(slice.size(), kRecordBytes - filled);
    std::memcpy(scratch.data() + filled, slice.data(), part);
    filled += part;
    if (filled == kRecordBytes) break;
  }
  return {scratch.data(), filled};
}

// Of a server that was verified.
std::string text_of_verdict(long verdict, const Origin& origin) {
  if (verdict != X509_V_ERR_HOSTNAME_MISMATCH)
    return fmt::format("the server's certificate: {}", X509_verify_cert_error_string(verdict));
  const auto& names = origin.settings().subject_alt_names;
  return fmt::format("the server's certificate is not for {}",
                     names.empty() ? origin.settings().sni : fmt::format("{}", fmt::join(names, " or ")));
}

}  // namespace

Channel Channel::client(CredentialsPtr credentials, std::vector<SpiffeId> expected, ring::BufferPool& pool) {
  return Channel(std::move(credentials), std::move(expected), pool, /*is_server=*/false);
}

Channel Channel::server(CredentialsPtr credentials, ring::BufferPool& pool) {
  return Channel(std::move(credentials), {}, pool, /*is_server=*/true);
}

Channel Channel::towards(std::shared_ptr<const Origin> origin, const Origin::Context& context, std::string_view alpn,
                         ring::BufferPool& pool) {
  Channel channel(context.get(), pool);
  SSL* ssl = channel.ssl_.get();
  attach(ssl, origin.get());
  if (!alpn.empty()) {
    const std::string offer = static_cast<char>(alpn.size()) + std::string(alpn);
    SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(offer.data()), static_cast<unsigned>(offer.size()));
  }
  SSL_set_connect_state(ssl);
  channel.origin_ = std::move(origin);
  return channel;
}

Channel::Channel(SSL_CTX* context, ring::BufferPool& pool) : wire_(new Wire{&pool}), ssl_(SSL_new(context)) {
  LEAT_CHECK(ssl_, "no memory for a TLS connection");
  BIO* bio = make_bio(wire_.get()).release();
  SSL_set_bio(ssl_.get(), bio, bio);
}

std::string_view Channel::alpn() const {
  const unsigned char* protocol = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &protocol, &size);
  return {reinterpret_cast<const char*>(protocol), size};
}

Channel::Channel(CredentialsPtr credentials, std::vector<SpiffeId> expected, ring::BufferPool& pool, bool is_server)
    : credentials_(std::move(credentials)),
      wire_(new Wire{&pool}),
      handshake_(new Handshake{&credentials_->trust(), std::move(expected), is_server}),
      ssl_(SSL_new(is_server ? credentials_->server() : credentials_->client())) {
  LEAT_CHECK(ssl_, "no memory for a TLS connection");
  BIO* bio = make_bio(wire_.get()).release();
  SSL_set_bio(ssl_.get(), bio, bio);
  attach(ssl_.get(), handshake_.get());
  is_server ? SSL_set_accept_state(ssl_.get()) : SSL_set_connect_state(ssl_.get());
}

Channel::State Channel::handshake() {
  if (state_ != State::kHandshaking) return state_;
  wire_->stalled = false;
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result != 1) return stopped(result);
  opened();
  return state_;
}

void Channel::opened() {
  if (origin_) {
    state_ = State::kOpen;
    return;
  }
  if (alpn().empty()) {
    fail(FailureKind::kNoAlpn, "the server did not choose ALPN h2: it is not an HBONE peer");
    return;
  }
  peer_ = std::move(handshake_->peer);
  attach(ssl_.get(), static_cast<Handshake*>(nullptr));
  handshake_.reset();
  state_ = State::kOpen;
}

Channel::State Channel::read(ring::Chain& plaintext) {
  if (state_ != State::kOpen) return state_;
  wire_->stalled = false;
  ERR_clear_error();
  // Asking OpenSSL once more only to hear that it wants bytes costs a third of a small record.
  const auto more = [this] {
    return state_ == State::kOpen && (ended_ || !wire_->input.empty() || SSL_has_pending(ssl_.get()) == 1);
  };
  bool exhausted = false;
  while (!exhausted && more()) {
    ring::Buffer block = wire_->pool->allocate();
    if (!block.has_block()) {
      wire_->stalled = true;
      break;
    }
    while (!exhausted && block.tail_room() > 0 && more()) {
      size_t got = 0;
      const int result = SSL_read_ex(ssl_.get(), block.data() + block.size(), block.tail_room(), &got);
      if (result != 1) {
        stopped(result);
        exhausted = true;
      }
      block.grow(static_cast<uint32_t>(got));
    }
    plaintext.append(std::move(block));
  }
  return state_;
}

Channel::State Channel::write(ring::Chain& plaintext, size_t output_limit) {
  if ((state_ != State::kOpen && state_ != State::kPeerClosed) || close_sent_) return state_;
  wire_->stalled = false;
  ERR_clear_error();
  ring::Buffer scratch;
  while (!plaintext.empty() && wire_->output.size() < output_limit) {
    // Looked at before, because a record that OpenSSL has begun must be finished with the very same bytes.
    if (wire_->pool->free_blocks() < kBlocksARecord) {
      wire_->stalled = true;
      break;
    }
    const std::span<const uint8_t> record = next_record(plaintext, scratch, *wire_->pool);
    size_t written = 0;
    const int result = SSL_write_ex(ssl_.get(), record.data(), record.size(), &written);
    if (result != 1) return stopped(result);
    plaintext.consume(written);
  }
  return state_;
}

void Channel::close() {
  if ((state_ != State::kOpen && state_ != State::kPeerClosed) || close_sent_) return;
  close_sent_ = true;
  ERR_clear_error();
  SSL_shutdown(
      ssl_.get());  // 0: close_notify is written, the peer's has not come. Nothing else can be done about an error.
  ERR_clear_error();
}

Channel::State Channel::stopped(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      if (ended_ && wire_->input.empty()) {
        return fail(FailureKind::kTruncated, state_ == State::kHandshaking
                                                 ? "the peer closed the connection during the TLS handshake"
                                                 : "the peer closed the connection without close_notify");
      }
      return state_;
    case SSL_ERROR_WANT_WRITE:
      return state_;  // the pool is dry: Wire::stalled is set
    case SSL_ERROR_ZERO_RETURN:
      return state_ = State::kPeerClosed;
    default:
      break;
  }
  if (handshake_ && handshake_->failure.kind != FailureKind::kNone) {
    return fail(handshake_->failure.kind, std::move(handshake_->failure.message));
  }
  if (origin_ && state_ == State::kHandshaking) {
    const long verdict = SSL_get_verify_result(ssl_.get());
    if (verdict != X509_V_OK) return fail(kind_of_verdict(verdict), text_of_verdict(verdict, *origin_));
  }
  const int reason = ERR_GET_REASON(ERR_peek_error());
  if (reason > SSL_AD_REASON_OFFSET) {
    const auto alert = static_cast<uint8_t>(reason - SSL_AD_REASON_OFFSET);
    return fail(FailureKind::kPeerAlert,
                fmt::format("the peer ended TLS with the alert {} ({})", SSL_alert_desc_string_long(alert), alert),
                alert);
  }
  if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
    return fail(FailureKind::kNoCertificate, "the peer showed no certificate: it is not a workload of the mesh");
  }
  return fail(FailureKind::kProtocol,
              fmt::format("the peer does not speak TLS 1.{} as {}: {}", origin_ ? "2 or 1.3" : "3",
                          origin_ ? "we do" : "HBONE does", ssl::take_error()));
}

Channel::State Channel::fail(FailureKind kind, std::string message, uint8_t alert) {
  ERR_clear_error();
  failure_ = {kind, alert, std::move(message)};
  return state_ = State::kFailed;
}

}  // namespace leat::tls
