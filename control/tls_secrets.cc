#include "control/tls_secrets.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace leat::control {
namespace {

std::string key_for(std::string_view what, const v1::TlsSecret& pem) {
  return fmt::format("{}@{:016x}", what, std::hash<std::string>()(pem.SerializeAsString()));
}

template <typename Objects, typename Visit>
void each_origination(const Objects& objects, Visit visit) {
  const auto of = [&](const PolicySections& sections) {
    if (sections.tls && sections.tls->mode == v1::UPSTREAM_TLS_ORIGINATE) visit(sections.tls->origination);
  };
  const auto all = [&](const TrafficPolicySpec& policy) {
    of(policy.all);
    for (const auto& [port, sections] : policy.ports) of(sections);
  };
  for (const auto& [name, rule] : objects.template all<DestinationRule>()) {
    all(rule.policy);
    for (const SubsetSpec& subset : rule.subsets) all(subset.policy);
  }
}

}  // namespace

std::set<std::string> tls_files(const ObjectSet& objects) {
  std::set<std::string> files;
  each_origination(objects, [&](const v1::TlsOrigination& tls) {
    for (const std::string& file : {tls.ca_file(), tls.certificate_file(), tls.key_file(), tls.crl_file()}) {
      if (!file.empty()) files.insert(file);
    }
  });
  return files;
}

std::string key_of(const Secret& secret) {
  return key_for(fmt::format("{} {}", Secret::kKind, secret.meta.name.text()), secret.pem);
}

v1::TlsSecret secret_of_files(const View& objects, const v1::TlsOrigination& tls, std::vector<std::string>& problems) {
  v1::TlsSecret secret;
  std::vector<std::string> names;
  const auto read = [&](const std::string& file, std::string* content) {
    if (file.empty()) return;
    names.push_back(file);
    const auto* found = objects.find<TlsFile>({"", file});
    if (found == nullptr) return;  // nobody has read it yet, or nobody reads here
    *content = found->content;
    if (content->empty()) problems.push_back(fmt::format("{}: {}", file, found->problem));
  };
  read(tls.ca_file(), secret.mutable_ca());
  read(tls.certificate_file(), secret.mutable_certificate());
  read(tls.key_file(), secret.mutable_private_key());
  read(tls.crl_file(), secret.mutable_crl());
  // One that lacks a part has a key and no content: connections fail, and say which files they lack.
  if (!names.empty()) secret.set_key(key_for(fmt::format("file {}", fmt::join(names, ", ")), secret));
  return secret;
}

std::map<std::string, v1::TlsSecret> tls_secrets(const View& objects) {
  std::map<std::string, v1::TlsSecret> secrets;
  for (const auto& [name, secret] : objects.all<Secret>()) {
    if (secret.pem.ByteSizeLong() == 0) continue;
    v1::TlsSecret entry = secret.pem;
    entry.set_key(key_of(secret));
    secrets.emplace(entry.key(), std::move(entry));
  }
  each_origination(objects, [&](const v1::TlsOrigination& tls) {
    std::vector<std::string> problems;
    v1::TlsSecret secret = secret_of_files(objects, tls, problems);
    const bool whole = (tls.ca_file().empty() || !secret.ca().empty()) &&
                       (tls.certificate_file().empty() || !secret.certificate().empty()) &&
                       (tls.key_file().empty() || !secret.private_key().empty()) &&
                       (tls.crl_file().empty() || !secret.crl().empty());
    if (!secret.key().empty() && whole) secrets.insert_or_assign(secret.key(), std::move(secret));
  });
  return secrets;
}

}  // namespace leat::control
