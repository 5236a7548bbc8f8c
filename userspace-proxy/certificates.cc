#include "userspace-proxy/certificates.h"

#include <algorithm>

#include "common/log.h"
#include "common/spiffe.h"
#include "userspace-proxy/limits.h"

namespace leat::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

system_clock::time_point from_unix(int64_t seconds) { return system_clock::time_point(std::chrono::seconds(seconds)); }
int64_t unix_ms(system_clock::time_point at) {
  return std::chrono::duration_cast<milliseconds>(at.time_since_epoch()).count();
}

bool expired(const tls::CredentialsPtr& credentials) {
  return credentials && system_clock::now() >= from_unix(credentials->own().not_after_unix);
}

}  // namespace

Certificates::~Certificates() {
  for (auto& [account, entry] : entries_) loop_.cancel(entry.timer);
}

void Certificates::want(const std::set<Account>& accounts, const std::string& trust_domain) {
  if (trust_domain != trust_domain_) {
    trust_domain_ = trust_domain;
    v1::Roots same;
    same.mutable_root_der()->Add(roots_der_.begin(), roots_der_.end());
    set_roots(same);
  }
  std::erase_if(entries_, [&](auto& item) {
    if (accounts.contains(item.first)) return false;
    loop_.cancel(item.second.timer);
    if (item.second.credentials) handlers_.changed(item.first, nullptr);
    return true;
  });
  for (const Account& account : accounts) {
    const auto [found, fresh] = entries_.try_emplace(account);
    if (fresh) request(found->first, found->second);
  }
}

void Certificates::set_roots(const v1::Roots& roots) {
  roots_der_.assign(roots.root_der().begin(), roots.root_der().end());
  if (trust_domain_.empty() || roots_der_.empty()) return;  // the other half comes soon
  auto bundle = tls::TrustBundle::make(trust_domain_, roots_der_);
  if (!bundle) return log::error("the CA's roots can't be used; the old ones stay: {}", bundle.error().message);
  trust_ = std::move(*bundle);
  for (auto& [account, entry] : entries_) {
    if (entry.key) put_in_force(account, entry);  // the same certificate, other roots
  }
}

void Certificates::request(const Account& account, Entry& entry) {
  entry.request = next_request_++;
  auto identity = SpiffeId::make(trust_domain_, account.first, account.second);
  if (!identity) return failed(account, entry, identity.error().message);
  auto key = tls::KeyPair::generate();
  if (!key) return failed(account, entry, key.error().message);
  const auto csr = key->signing_request();
  if (!csr) return failed(account, entry, csr.error().message);
  entry.new_key = std::move(*key);
  v1::SignRequest message;
  message.set_request(entry.request);
  message.set_identity(identity->text());
  message.set_csr_der(*csr);
  handlers_.sign(message);
  schedule(account, entry, limits::kSignTimeout);
}

void Certificates::signed_by_ca(const v1::Signed& answer) {
  const auto found =
      std::ranges::find_if(entries_, [&](const auto& item) { return item.second.request == answer.request(); });
  if (found == entries_.end() || answer.request() == 0) return;  // asked twice, or no longer wanted
  auto& [account, entry] = *found;
  if (!answer.error().empty()) return failed(account, entry, answer.error());
  entry.request = 0;
  entry.key = std::exchange(entry.new_key, std::nullopt);
  entry.chain_der.assign(answer.chain_der().begin(), answer.chain_der().end());
  put_in_force(account, entry);
}

void Certificates::put_in_force(const Account& account, Entry& entry) {
  if (!trust_) return failed(account, entry, "no roots have come from the agent yet");
  auto credentials = tls::Credentials::make(*entry.key, entry.chain_der, trust_);
  if (!credentials) return failed(account, entry, credentials.error().message);
  // A CA that does not take the agent for one signs for the agent itself.
  const SpiffeId& own = (*credentials)->own().identity;
  if (own.ns != account.first || own.service_account != account.second)
    return failed(
        account, entry,
        fmt::format(
            "the CA signed {}, which nobody asked for: does it trust the agent's service account to ask for others?",
            own.text()));
  entry.credentials = std::move(*credentials);
  entry.failures = 0;
  const auto left = std::chrono::duration_cast<milliseconds>(from_unix(entry.credentials->own().not_after_unix) -
                                                             system_clock::now());
  const milliseconds delay = jittered(std::max(left / 2, milliseconds(limits::kSignRetry)));
  entry.renew_at = system_clock::now() + delay;
  schedule(account, entry, delay);
  log::info("certificate of {} in force, serial {}, for {} s", entry.credentials->own().identity.text(),
            entry.credentials->own().serial, left.count() / 1000);
  handlers_.changed(account, entry.credentials);
}

void Certificates::failed(const Account& account, Entry& entry, std::string why) {
  log::warn("no certificate for ns/{}/sa/{}: {}", account.first, account.second, why);
  entry.request = 0;
  entry.last_error = std::move(why);
  entry.last_error_at = system_clock::now();
  constexpr uint32_t kLongest = 300;
  const milliseconds backoff =
      milliseconds(limits::kSignRetry) * std::min(1u << std::min(entry.failures++, 10u), kLongest);
  // From half of it on: nodes that lost the CA together do not come back together.
  schedule(account, entry, backoff * static_cast<int64_t>(500 + random_() % 501) / 1000);
}

void Certificates::schedule(const Account& account, Entry& entry, milliseconds delay) {
  loop_.cancel(entry.timer);
  entry.timer = loop_.after(delay, [this, account] { due(account); });
}

// The time to renew, to try again, or to give an unanswered request up.
void Certificates::due(const Account& account) {
  Entry& entry = entries_.at(account);
  entry.timer = 0;
  drop_expired(account, entry);
  request(account, entry);
}

void Certificates::drop_expired(const Account& account, Entry& entry) {
  if (!expired(entry.credentials)) return;
  log::error("the certificate of {} has expired: {}", entry.credentials->own().identity.text(),
             entry.last_error.empty() ? "the CA does not answer" : entry.last_error);
  entry.credentials = nullptr;
  handlers_.changed(account, nullptr);
}

void Certificates::agent_returned() {
  for (auto& [account, entry] : entries_) {
    if (entry.request != 0 || !entry.credentials) request(account, entry);
  }
}

milliseconds Certificates::jittered(milliseconds span) {
  return milliseconds(span.count() * static_cast<int64_t>(900 + random_() % 201) / 1000);
}

void Certificates::report(std::vector<v1::Certificate>* out) const {
  for (const auto& [account, entry] : entries_) {
    v1::Certificate& certificate = out->emplace_back();
    certificate.set_identity(SpiffeId{trust_domain_, account.first, account.second}.text());
    certificate.set_state(!entry.credentials ? "pending" : expired(entry.credentials) ? "expired" : "valid");
    if (entry.credentials) {
      certificate.set_not_before_ms(entry.credentials->own().not_before_unix * 1000);
      certificate.set_not_after_ms(entry.credentials->own().not_after_unix * 1000);
      certificate.set_renew_at_ms(unix_ms(entry.renew_at));
      certificate.set_serial(entry.credentials->own().serial);
    }
    if (!entry.last_error.empty()) {
      certificate.set_last_error(entry.last_error);
      certificate.set_last_error_ms(unix_ms(entry.last_error_at));
    }
  }
}

}  // namespace leat::proxy
