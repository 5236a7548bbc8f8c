#include "userspace-proxy/tls/channel.h"

#include <random>

#include "authority.h"

using leat::SpiffeId;
using leat::ring::BufferPool;
using leat::ring::Chain;
using leat::test::Authority;
using leat::tls::Channel;
using leat::tls::Credentials;
using leat::tls::FailureKind;
using leat::tls::KeyPair;
using State = leat::tls::Channel::State;

namespace {

const SpiffeId kFront{"cluster.local", "shop", "front"};
const SpiffeId kBack{"cluster.local", "shop", "back"};

Chain chain_of(BufferPool& pool, std::string_view text) {
  Chain chain;
  REQUIRE(chain.append_copy(pool, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
  return chain;
}

std::string text_of(const Chain& chain) {
  std::string text;
  for (const auto& slice : chain.slices()) text.append(reinterpret_cast<const char*>(slice.data()), slice.size());
  return text;
}

// Lets both ends speak until neither has anything to say; each message comes in pieces of at most `piece` bytes.
void shake_hands(Channel& client, Channel& server, size_t piece = SIZE_MAX) {
  Chain ignored;
  const auto turn = [&](Channel& to, Channel& from) {
    Chain bytes = from.take_output();
    while (!bytes.empty()) {
      to.feed(bytes.take(piece));
      to.handshake();
      to.read(ignored);
    }
  };
  client.handshake();
  while (client.output_size() + server.output_size() > 0) {
    turn(server, client);
    turn(client, server);
  }
}

struct Pair {
  BufferPool pool{256};
  Authority authority;
  Channel client = Channel::client(authority.issue(kFront), {kBack}, pool);
  Channel server = Channel::server(authority.issue(kBack), pool);
};

// A raw OpenSSL client of another make, to be refused.
struct Stranger {
  leat::ssl::Context context{SSL_CTX_new(TLS_client_method())};
  leat::ssl::Connection ssl;
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());

  void start() {
    ssl.reset(SSL_new(context.get()));
    SSL_set_bio(ssl.get(), in, out);
    SSL_set_connect_state(ssl.get());
  }
  void shake_hands(Channel& server, BufferPool& pool) {
    for (int turn = 0; turn < 4; ++turn) {
      SSL_do_handshake(ssl.get());
      char* data = nullptr;
      const long size = BIO_get_mem_data(out, &data);
      server.feed(chain_of(pool, {data, static_cast<size_t>(size)}));
      (void)BIO_reset(out);
      server.handshake();
      const std::string answer = text_of(server.take_output());
      BIO_write(in, answer.data(), static_cast<int>(answer.size()));
    }
    ERR_clear_error();
  }
  void set_alpn(std::initializer_list<unsigned char> protocols) {
    SSL_CTX_set_alpn_protos(context.get(), protocols.begin(), protocols.size());
  }
};

FailureKind server_refuses(Stranger& stranger) {
  BufferPool pool(64);
  const Authority authority;
  Channel server = Channel::server(authority.issue(kBack), pool);
  stranger.start();
  stranger.shake_hands(server, pool);
  CHECK(server.state() == State::kFailed);
  CHECK_FALSE(server.failure().message.empty());
  return server.failure().kind;
}

}  // namespace

TEST_CASE("two workloads of a mesh learn each other's identity") {
  Pair pair;
  shake_hands(pair.client, pair.server);
  CHECK(pair.client.state() == State::kOpen);
  CHECK(pair.server.state() == State::kOpen);
  CHECK(pair.client.peer().identity == kBack);
  CHECK(pair.server.peer().identity == kFront);
}

TEST_CASE("a handshake that arrives byte by byte ends the same") {
  Pair pair;
  shake_hands(pair.client, pair.server, 1);
  CHECK(pair.client.state() == State::kOpen);
  CHECK(pair.server.state() == State::kOpen);
}

TEST_CASE("bytes arrive as they were sent, whatever the slices, and small slices share a record") {
  Pair pair;
  shake_hands(pair.client, pair.server);
  std::minstd_rand random(7);
  std::string sent;
  std::string received;
  for (const size_t size : {1, 9, 16383, 16384, 16385, 100000, 3}) {
    Chain plaintext;
    std::string text(size, ' ');
    for (char& c : text) c = static_cast<char>(random());
    sent += text;
    for (size_t at = 0; at < size; at += 700)
      plaintext.append(chain_of(pair.pool, std::string_view(text).substr(at, 700)));
    while (!plaintext.empty()) {
      pair.client.write(plaintext, 40000);
      pair.server.feed(pair.client.take_output());
      Chain got;
      CHECK(pair.server.read(got) == State::kOpen);
      received += text_of(got);
    }
  }
  CHECK(received == sent);

  Chain plaintext = chain_of(pair.pool, "a");
  plaintext.append(chain_of(pair.pool, "b"));
  pair.client.write(plaintext, SIZE_MAX);
  CHECK(pair.client.output_size() == 2 + 22);  // one record: 5 of header, 1 of type, 16 of tag
}

TEST_CASE("a dry pool holds bytes back and loses none") {
  Pair pair;
  shake_hands(pair.client, pair.server);
  Chain plaintext = chain_of(pair.pool, std::string(50000, 'x'));
  {
    std::vector<leat::ring::Buffer> hoard;
    while (pair.pool.free_blocks() > 1) hoard.push_back(pair.pool.allocate());
    CHECK(pair.client.write(plaintext, SIZE_MAX) == State::kOpen);
    CHECK(pair.client.stalled());
    CHECK(plaintext.size() == 50000);
  }
  CHECK(pair.client.write(plaintext, SIZE_MAX) == State::kOpen);
  CHECK_FALSE(pair.client.stalled());
  pair.server.feed(pair.client.take_output());
  Chain got;
  {
    std::vector<leat::ring::Buffer> hoard;
    while (pair.pool.free_blocks() > 0) hoard.push_back(pair.pool.allocate());
    CHECK(pair.server.read(got) == State::kOpen);
    CHECK(pair.server.stalled());
  }
  CHECK(pair.server.read(got) == State::kOpen);
  CHECK(got.size() == 50000);
}

TEST_CASE("close_notify is told from a cut connection") {
  Pair pair;
  shake_hands(pair.client, pair.server);
  pair.client.close();
  pair.server.feed(pair.client.take_output());
  pair.server.feed_end();
  Chain got;
  CHECK(pair.server.read(got) == State::kPeerClosed);

  Pair cut;
  shake_hands(cut.client, cut.server);
  cut.server.feed_end();
  CHECK(cut.server.read(got) == State::kFailed);
  CHECK(cut.server.failure().kind == FailureKind::kTruncated);
}

TEST_CASE("a good certificate of somebody else than was dialled is refused by the client") {
  BufferPool pool(64);
  const Authority authority;
  Channel client = Channel::client(authority.issue(kFront), {kBack}, pool);
  Channel server = Channel::server(authority.issue({"cluster.local", "shop", "other"}), pool);
  shake_hands(client, server);
  CHECK(client.state() == State::kFailed);
  CHECK(client.failure().kind == FailureKind::kUnexpectedIdentity);
  CHECK(client.failure().message.find("shop/sa/other") != std::string::npos);
  CHECK(server.state() == State::kFailed);
  CHECK(server.failure().kind == FailureKind::kPeerAlert);
  CHECK(server.failure().alert == SSL_AD_BAD_CERTIFICATE);
}

TEST_CASE("a peer with a root that we do not know is refused, and the peer learns why") {
  BufferPool pool(64);
  const Authority ours;
  const Authority theirs;
  Channel client = Channel::client(theirs.issue(kFront, ours.trust()), {kBack}, pool);
  Channel server = Channel::server(ours.issue(kBack), pool);
  shake_hands(client, server);
  CHECK(server.failure().kind == FailureKind::kUnknownIssuer);
  CHECK(client.failure().kind == FailureKind::kPeerAlert);
  CHECK(client.failure().alert == SSL_AD_UNKNOWN_CA);
}

TEST_CASE("a trust domain that a known root vouches for is still foreign") {
  BufferPool pool(64);
  const Authority ours;
  const Authority theirs("other.local");
  // We know their root, for another purpose; their workload must not pass as ours.
  const auto store_roots = [&] {
    std::vector<std::string> all;
    for (const auto& trust : {ours.trust(), theirs.trust()}) {
      STACK_OF(X509)* certificates = X509_STORE_get1_all_certs(trust->store());
      for (int i = 0; i < sk_X509_num(certificates); ++i) {
        all.push_back(leat::ssl::to_der(i2d_X509, static_cast<const X509*>(sk_X509_value(certificates, i))));
      }
      sk_X509_pop_free(certificates, X509_free);
    }
    return all;
  };
  const auto both = *leat::tls::TrustBundle::make("cluster.local", store_roots());
  const auto their_both = *leat::tls::TrustBundle::make("other.local", store_roots());
  Channel client = Channel::client(theirs.issue({"other.local", "shop", "front"}, their_both), {kBack}, pool);
  Channel server = Channel::server(ours.issue(kBack, both), pool);
  shake_hands(client, server);
  CHECK(client.failure().kind ==
        FailureKind::kWrongTrustDomain);  // the dialling side sees the other's certificate first
}

TEST_CASE("a second handshake of the same leaf still checks who was dialled") {
  BufferPool pool(64);
  const Authority authority;
  const auto front = authority.issue(kFront);
  const auto back = authority.issue(kBack);
  Channel client = Channel::client(front, {kBack}, pool);
  Channel server = Channel::server(back, pool);
  shake_hands(client, server);
  CHECK(client.state() == State::kOpen);
  Channel wrong = Channel::client(front, {kFront}, pool);
  Channel again = Channel::server(back, pool);
  shake_hands(wrong, again);
  CHECK(wrong.failure().kind == FailureKind::kUnexpectedIdentity);
}

TEST_CASE("strangers are refused, each for its own reason") {
  {
    Stranger no_alpn;
    CHECK(server_refuses(no_alpn) == FailureKind::kNoAlpn);
  }
  {
    Stranger http1;
    http1.set_alpn({8, 'h', 't', 't', 'p', '/', '1', '.', '1'});
    CHECK(server_refuses(http1) == FailureKind::kNoAlpn);
  }
  {
    Stranger no_certificate;
    no_certificate.set_alpn({2, 'h', '2'});
    CHECK(server_refuses(no_certificate) == FailureKind::kNoCertificate);
  }
  {
    Stranger old;
    old.set_alpn({2, 'h', '2'});
    SSL_CTX_set_max_proto_version(old.context.get(), TLS1_2_VERSION);
    CHECK(server_refuses(old) == FailureKind::kProtocol);
  }
  {
    Stranger chacha;
    chacha.set_alpn({2, 'h', '2'});
    SSL_CTX_set_ciphersuites(chacha.context.get(), "TLS_CHACHA20_POLY1305_SHA256");
    CHECK(server_refuses(chacha) == FailureKind::kProtocol);
  }
}

TEST_CASE("garbage instead of TLS is refused") {
  BufferPool pool(64);
  const Authority authority;
  Channel server = Channel::server(authority.issue(kBack), pool);
  server.feed(chain_of(pool, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  CHECK(server.handshake() == State::kFailed);
  CHECK(server.failure().kind == FailureKind::kProtocol);
}

TEST_CASE("a client's hello has no server name, one key share, ALPN h2 and the two suites") {
  BufferPool pool(64);
  const Authority authority;
  Channel client = Channel::client(authority.issue(kFront), {kBack}, pool);
  client.handshake();
  const std::string hello = text_of(client.take_output());
  CHECK(hello.find(std::string("\x00\x10\x00\x05\x00\x03\x02h2", 9)) != std::string::npos);  // ALPN
  CHECK(hello.find(std::string("\x13\x02\x13\x01", 4)) != std::string::npos);                // suites, AES-256 first
  CHECK(hello.find(std::string("\x00\x0a\x00\x06\x00\x04\x00\x1d\x00\x17", 10)) != std::string::npos);  // X25519, P-256
  CHECK(hello.find(std::string("\x00\x33\x00\x26\x00\x24\x00\x1d\x00\x20", 10)) !=
        std::string::npos);  // share: X25519 only
  CHECK(hello.find("shop") == std::string::npos);
}

TEST_CASE("credentials that do not fit together can't be made") {
  const Authority authority;
  const auto key = *KeyPair::generate();
  const std::string foreign[] = {authority.leaf(*KeyPair::generate(), kFront)};
  CHECK_FALSE(Credentials::make(key, foreign, authority.trust()));
  CHECK_FALSE(Credentials::make(key, {}, authority.trust()));
  const std::string garbage[] = {"not a certificate"};
  CHECK_FALSE(Credentials::make(key, garbage, authority.trust()));
  const std::string mine[] = {authority.leaf(key, kFront)};
  CHECK(Credentials::make(key, mine, authority.trust()));
  const Authority other("other.local");
  CHECK_FALSE(Credentials::make(key, mine, other.trust()));
  CHECK_FALSE(leat::tls::TrustBundle::make("cluster.local", {}));
  CHECK_FALSE(leat::tls::TrustBundle::make("cluster.local", mine));  // a leaf is no root
}
