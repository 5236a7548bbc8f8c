#include "userspace-proxy/tls/client_hello.h"

#include <doctest/doctest.h>

#include <string>

#include "common/openssl.h"

namespace leat::tls {
namespace {

using State = ClientHelloReader::State;

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// What OpenSSL begins a connection with; `name` null: without one.
std::string hello_of(const char* name, int version = TLS1_3_VERSION) {
  const ssl::Context context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_max_proto_version(context.get(), version);
  const ssl::Connection ssl(SSL_new(context.get()));
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl.get(), in, out);
  if (name != nullptr) SSL_set_tlsext_host_name(ssl.get(), name);
  SSL_set_connect_state(ssl.get());
  CHECK(SSL_do_handshake(ssl.get()) == -1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  return std::string(data, static_cast<size_t>(size));
}

std::string record(std::string_view payload) {
  std::string made("\x16\x03\x01", 3);
  made += static_cast<char>(payload.size() >> 8);
  made += static_cast<char>(payload.size());
  return made.append(payload);
}

std::string vector(size_t bytes, std::string_view content) {
  std::string made;
  for (size_t i = bytes; i-- > 0;) made += static_cast<char>(content.size() >> (8 * i));
  return made.append(content);
}

// A hello with these extensions, as one handshake message.
std::string message(std::string_view extensions) {
  const std::string body = std::string("\x03\x03", 2) + std::string(32, 'r') + vector(1, "") +
                           vector(2, std::string("\x13\x01", 2)) + vector(1, std::string(1, '\0')) +
                           vector(2, extensions);
  return std::string(1, '\x01') + vector(3, body);
}

std::string extension(uint16_t type, std::string_view data) {
  return std::string{static_cast<char>(type >> 8), static_cast<char>(type)} + vector(2, data);
}

std::string names(std::string_view host) { return extension(0, vector(2, std::string(1, '\0') + vector(2, host))); }

State read(std::string_view bytes, std::string* name = nullptr) {
  ClientHelloReader reader;
  reader.feed(bytes_of(bytes));
  if (name != nullptr) *name = reader.server_name();
  return reader.state();
}

}  // namespace

TEST_CASE("the name in a ClientHello of OpenSSL is read, whatever the version and the case") {
  std::string name;
  CHECK(read(hello_of("API.Example.com"), &name) == State::kWhole);
  CHECK(name == "api.example.com");
  CHECK(read(hello_of("a.b", TLS1_2_VERSION), &name) == State::kWhole);
  CHECK(name == "a.b");
}

TEST_CASE("a ClientHello without a name is whole, and names nobody") {
  std::string name = "x";
  CHECK(read(hello_of(nullptr), &name) == State::kWhole);
  CHECK(name.empty());
}

TEST_CASE("a ClientHello means the same however its bytes are cut, and is not whole before its last byte") {
  const std::string hello = hello_of("api.example.com");
  for (size_t cut = 1; cut < hello.size(); ++cut) {
    ClientHelloReader reader;
    CHECK(reader.feed(bytes_of(std::string_view(hello).substr(0, cut))) == State::kMore);
    CHECK(reader.feed(bytes_of(std::string_view(hello).substr(cut))) == State::kWhole);
    CHECK(reader.server_name() == "api.example.com");
  }
  ClientHelloReader reader;
  for (size_t at = 0; at < hello.size(); ++at) reader.feed(bytes_of(std::string_view(hello).substr(at, 1)));
  CHECK(reader.server_name() == "api.example.com");
}

TEST_CASE("a ClientHello may be split over records") {
  const std::string hello = message(names("split.example.com"));
  for (size_t cut = 1; cut < hello.size(); ++cut) {
    std::string name;
    CHECK(read(record(hello.substr(0, cut)) + record(hello.substr(cut)), &name) == State::kWhole);
    CHECK(name == "split.example.com");
  }
}

TEST_CASE("extensions that nobody knows are passed over: GREASE, an encrypted hello, a post-quantum share") {
  std::string name;
  const std::string odd = extension(0x0a0a, "") + extension(0xfe0d, std::string(300, 'e')) + names("outer.example") +
                          extension(0x0033, std::string(1300, 'k')) + extension(0xfafa, std::string(1, '\0'));
  CHECK(read(record(message(odd)), &name) == State::kWhole);
  CHECK(name == "outer.example");
}

TEST_CASE("what is no ClientHello is told as soon as that is seen") {
  CHECK(read("G") == State::kNotTls);
  CHECK(read(std::string("\x16\x02", 2)) == State::kNotTls);
  CHECK(read(std::string("\x17\x03\x03\x00\x05hello", 10)) == State::kNotTls);
  CHECK(read(std::string("\x16\x03\x01\x00\x00", 5)) == State::kNotTls);        // an empty record
  CHECK(read(std::string("\x16\x03\x01\xff\xff", 5)) == State::kNotTls);        // longer than records are
  CHECK(read(record(std::string("\x02\x00\x00\x02hi", 6))) == State::kNotTls);  // a ServerHello
  CHECK(read(record(message(names("a")) + "x")) == State::kNotTls);             // something follows it
}

TEST_CASE(
    "a record that says it is longer than the ClientHello in it is refused, even where it is cut at the hello's end") {
  const std::string hello = message(names("a"));
  const std::string longer = record(hello + "x");
  CHECK(read(longer) == State::kNotTls);
  CHECK(read(longer.substr(0, longer.size() - 1)) == State::kNotTls);
}

TEST_CASE("a malformed ClientHello has no name") {
  CHECK(read(record(message(names("a") + names("b")))) == State::kNotTls);
  CHECK(read(record(message(names("with space")))) == State::kNotTls);
  CHECK(read(record(message(names("")))) == State::kNotTls);
  CHECK(read(record(message(extension(0, "")))) == State::kNotTls);
  CHECK(read(record(message(names("a").substr(0, 7)))) == State::kNotTls);
  CHECK(read(record(std::string("\x01\x00\x00\x02\x03\x03", 6))) == State::kNotTls);
}

TEST_CASE("a ClientHello of more than 16 KiB is given up, without waiting for it") {
  CHECK(read(record(std::string("\x01\x00\x40\x00", 4))) == State::kTooLarge);
  const std::string large = message(names("large.example") + extension(21, std::string(16'100, '\0')));
  std::string name;
  CHECK(read(record(large.substr(0, 9000)) + record(large.substr(9000)), &name) == State::kWhole);
  CHECK(name == "large.example");
}

}  // namespace leat::tls
