#include "agent/ca/ca.h"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "userspace-proxy/tls/credentials.h"

using leat::SpiffeId;
using leat::ca::CertificateAuthority;
using leat::tls::KeyPair;
using namespace std::chrono_literals;

namespace {

struct Folder {
  std::string path;
  Folder() {
    char text[] = "/tmp/leat-ca-test-XXXXXX";
    path = mkdtemp(text);
  }
  ~Folder() { std::filesystem::remove_all(path); }
};

const SpiffeId kShop{"cluster.local", "shop", "front"};

}  // namespace

TEST_CASE("a leaf names exactly the identity that the CA was told, whatever the request says") {
  const Folder folder;
  const auto ca = CertificateAuthority::open(folder.path, "cluster.local");
  REQUIRE(ca);
  const auto leaf = ca->sign(*KeyPair::generate()->signing_request(), kShop, 1h);
  REQUIRE(leaf);
  const auto read = leat::tls::read_certificate_der(*leaf);
  REQUIRE(read);
  CHECK(read->identity == kShop);
  const int64_t lifetime = read->not_after_unix - read->not_before_unix;
  CHECK(lifetime == 3600 + leat::ca::kBackdate.count());
  const auto certificate = leat::ssl::certificate_from_der(*leaf);
  CHECK(X509_NAME_entry_count(X509_get_subject_name(certificate.get())) == 0);
  const int san = X509_get_ext_by_NID(certificate.get(), NID_subject_alt_name, -1);
  CHECK(X509_EXTENSION_get_critical(X509_get_ext(certificate.get(), san)) == 1);
  CHECK(ca->sign(*KeyPair::generate()->signing_request(), kShop, 1h).value() != *leaf);
}

TEST_CASE("a request that its key did not sign, or of another kind of key, is refused") {
  const Folder folder;
  const auto ca = CertificateAuthority::open(folder.path, "cluster.local");
  REQUIRE(ca);
  std::string request = *KeyPair::generate()->signing_request();
  CHECK_FALSE(ca->sign(request + "x", kShop, 1h));
  CHECK_FALSE(ca->sign(request.substr(0, 40), kShop, 1h));
  CHECK_FALSE(ca->sign("", kShop, 1h));
  request.back() ^= 1;  // the signature's last byte
  CHECK_FALSE(ca->sign(request, kShop, 1h));

  const leat::ssl::Key p384(EVP_EC_gen("P-384"));
  const leat::ssl::Request other(X509_REQ_new());
  X509_REQ_set_pubkey(other.get(), p384.get());
  X509_REQ_sign(other.get(), p384.get(), EVP_sha256());
  CHECK_FALSE(ca->sign(leat::ssl::to_der(i2d_X509_REQ, static_cast<const X509_REQ*>(other.get())), kShop, 1h));
}

TEST_CASE("a foreign trust domain and an absurd lifetime are refused") {
  const Folder folder;
  const auto ca = CertificateAuthority::open(folder.path, "cluster.local");
  REQUIRE(ca);
  const std::string request = *KeyPair::generate()->signing_request();
  CHECK_FALSE(ca->sign(request, SpiffeId{"other.local", "shop", "front"}, 1h));
  CHECK_FALSE(ca->sign(request, SpiffeId{"cluster.local", "shop,URI:x", "front"}, 1h));
  CHECK_FALSE(ca->sign(request, kShop, 0s));
  CHECK_FALSE(ca->sign(request, kShop, 24h + 1s));
}

TEST_CASE("processes that open a folder at once share one root, and its key is private") {
  const Folder folder;
  const std::string path = folder.path + "/ca";
  std::vector<std::vector<std::string>> roots(4);
  {
    std::vector<std::jthread> threads;
    for (auto& mine : roots)
      threads.emplace_back([&] { mine = CertificateAuthority::open(path, "cluster.local")->roots(); });
  }
  for (const auto& mine : roots) CHECK(mine == roots[0]);
  struct stat status{};
  REQUIRE(stat((path + "/root.key").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("a root that is not ours to use is refused with a reason") {
  const Folder folder;
  const Folder foreign;
  REQUIRE(CertificateAuthority::open(folder.path, "cluster.local"));
  REQUIRE(CertificateAuthority::open(foreign.path, "cluster.local"));
  const auto other_domain = CertificateAuthority::open(folder.path, "other.local");
  REQUIRE_FALSE(other_domain);
  CHECK(other_domain.error().message.find("other.local") != std::string::npos);
  std::filesystem::copy_file(foreign.path + "/root.key", folder.path + "/root.key",
                             std::filesystem::copy_options::overwrite_existing);
  CHECK_FALSE(CertificateAuthority::open(folder.path, "cluster.local"));
  std::ofstream(folder.path + "/root.key") << "garbage";
  CHECK_FALSE(CertificateAuthority::open(folder.path, "cluster.local"));
}
