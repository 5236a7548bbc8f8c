// A certificate authority in a folder of its own, and credentials from it, for tests.
#pragma once

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <optional>

#include "agent/ca/ca.h"
#include "userspace-proxy/tls/credentials.h"

namespace leat::test {

class Authority {
 public:
  explicit Authority(std::string trust_domain = "cluster.local") : folder_(make_folder()) {
    ca_.emplace(std::move(*ca::CertificateAuthority::open(folder_, trust_domain)));
    trust_ = *tls::TrustBundle::make(trust_domain, ca_->roots());
  }
  ~Authority() { std::filesystem::remove_all(folder_); }
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  [[nodiscard]] std::shared_ptr<const tls::TrustBundle> trust() const { return trust_; }
  [[nodiscard]] std::string leaf(const tls::KeyPair& key, const SpiffeId& id) const {
    return *ca_->sign(*key.signing_request(), id, std::chrono::hours(1));
  }
  // `trust`: whom the holder believes; null: this authority.
  [[nodiscard]] tls::CredentialsPtr issue(const SpiffeId& id,
                                          std::shared_ptr<const tls::TrustBundle> trust = nullptr) const {
    const auto key = *tls::KeyPair::generate();
    const std::string chain[] = {leaf(key, id)};
    return *tls::Credentials::make(key, chain, trust ? trust : trust_);
  }

 private:
  static std::string make_folder() {
    char text[] = "/tmp/leat-authority-XXXXXX";
    return mkdtemp(text);
  }
  std::string folder_;
  std::optional<ca::CertificateAuthority> ca_;
  std::shared_ptr<const tls::TrustBundle> trust_;
};

}  // namespace leat::test
