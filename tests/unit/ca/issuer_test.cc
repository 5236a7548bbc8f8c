#include "ca/issuer.h"

#include <doctest/doctest.h>
#include <openssl/pem.h>

#include "userspace-proxy/tls/credentials.h"

using leat::SpiffeId;
using leat::ca::Issuer;
using leat::tls::KeyPair;
namespace ca = leat::ca;
namespace ssl = leat::ssl;
using namespace std::chrono_literals;

namespace {

const SpiffeId kCart{"cluster.local", "shop", "cart"};

// A request that would like to be somebody else.
std::string greedy_request() {
  const ssl::Key key(EVP_EC_gen("P-256"));
  const ssl::Request request(X509_REQ_new());
  X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>("admin"), -1, -1, 0);
  auto* extensions = sk_X509_EXTENSION_new_null();
  for (const auto& [nid, value] :
       {std::pair(NID_subject_alt_name, "URI:spiffe://cluster.local/ns/kube-system/sa/admin,DNS:evil"),
        std::pair(NID_basic_constraints, "critical,CA:TRUE")}) {
    sk_X509_EXTENSION_push(extensions, X509V3_EXT_conf_nid(nullptr, nullptr, nid, value));
  }
  X509_REQ_add_extensions(request.get(), extensions);
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  X509_REQ_set_pubkey(request.get(), key.get());
  X509_REQ_sign(request.get(), key.get(), EVP_sha256());
  return ssl::to_der(i2d_X509_REQ, static_cast<const X509_REQ*>(request.get()));
}

bool verifies(const std::string& leaf_der, const std::string& root_der) {
  const ssl::Store store(X509_STORE_new());
  const auto root = ssl::certificate_from_der(root_der), leaf = ssl::certificate_from_der(leaf_der);
  X509_STORE_add_cert(store.get(), root.get());
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  X509_STORE_CTX_init(context, store.get(), leaf.get(), nullptr);
  const bool good = X509_verify_cert(context) == 1;
  X509_STORE_CTX_free(context);
  return good;
}

}  // namespace

TEST_CASE("of a request only its key counts, whatever else it would like to be") {
  const auto root = Issuer::make_root("cluster.local");
  REQUIRE(root);
  const auto leaf = root->sign(greedy_request(), kCart, 1h);
  REQUIRE(leaf);
  const auto read = leat::tls::read_certificate_der(*leaf);
  REQUIRE(read);
  CHECK(read->identity == kCart);
  const auto certificate = ssl::certificate_from_der(*leaf);
  CHECK(X509_NAME_entry_count(X509_get_subject_name(certificate.get())) == 0);
  CHECK(X509_check_ca(certificate.get()) == 0);
  CHECK(verifies(*leaf, root->certificate_der()));
}

TEST_CASE("a leaf never outlives who signed it") {
  const auto root = Issuer::make_root("cluster.local", 10min);
  REQUIRE(root);
  const auto leaf = leat::tls::read_certificate_der(*root->sign(greedy_request(), kCart, 24h));
  REQUIRE(leaf);
  CHECK(leaf->not_after_unix == std::chrono::system_clock::to_time_t(root->not_after()));
}

TEST_CASE("two roots of one name are told apart by their keys") {
  const auto one = Issuer::make_root("cluster.local"), two = Issuer::make_root("cluster.local");
  const auto leaf = two->sign(greedy_request(), kCart, 1h);
  CHECK(verifies(*leaf, two->certificate_der()));
  CHECK_FALSE(verifies(*leaf, one->certificate_der()));
}

TEST_CASE("an issuer is read back from what it wrote, and a pair that does not belong together is refused") {
  const auto one = Issuer::make_root("cluster.local"), two = Issuer::make_root("cluster.local");
  const auto again = Issuer::load(one->key_pem(), one->certificate_pem());
  REQUIRE(again);
  CHECK(again->organisation() == "cluster.local");
  CHECK(again->intermediates().empty());
  CHECK_FALSE(Issuer::load(one->key_pem(), two->certificate_pem()));
  CHECK_FALSE(Issuer::load("", one->certificate_pem()));
  CHECK_FALSE(Issuer::load(one->key_pem(), ""));
  const auto server = one->make_server({"leat-ca.leat-system.svc", "10.0.0.1"}, 1h);
  REQUIRE(server);
  const auto no_ca = Issuer::load(server->key_pem, server->chain_pem);
  REQUIRE_FALSE(no_ca);
  CHECK(no_ca.error().message.find("may not sign") != std::string::npos);
}

TEST_CASE("a server is certified for names and addresses, and for nothing that would say more") {
  const auto root = Issuer::make_root("cluster.local");
  const auto server = root->make_server({"leat-ca.leat-system.svc", "10.0.0.1", "fd00::1"}, 1h);
  REQUIRE(server);
  const auto certificate = ssl::certificate_from_der(ca::certificates_from_pem(server->chain_pem)->front());
  CHECK(X509_check_host(certificate.get(), "leat-ca.leat-system.svc", 0, 0, nullptr) == 1);
  CHECK(X509_check_host(certificate.get(), "other", 0, 0, nullptr) == 0);
  CHECK(X509_check_ip_asc(certificate.get(), "10.0.0.1", 0) == 1);
  CHECK(X509_check_ip_asc(certificate.get(), "fd00::1", 0) == 1);
  for (const char* name : {"", "a,URI:spiffe://x", "Upper", "a b", "*"}) CHECK_FALSE(root->make_server({name}, 1h));
  CHECK_FALSE(root->make_server({}, 1h));
}

TEST_CASE("PEM is read whole or refused") {
  const auto root = Issuer::make_root("cluster.local");
  const std::string pem = root->certificate_pem();
  CHECK(ca::certificates_from_pem(pem + "\n# a comment\n" + pem)->size() == 2);
  CHECK_FALSE(ca::certificates_from_pem("no certificate"));
  std::string broken = pem;
  broken[pem.size() / 2] = '!';
  CHECK_FALSE(ca::certificates_from_pem(pem + broken));
  CHECK_FALSE(ca::request_from_pem(pem));
}
