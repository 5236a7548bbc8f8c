#include "ca/root_keeper.h"

#include <fstream>
#include <iterator>
#include <utility>

#include "ca/limits.h"
#include "common/log.h"

namespace leat::ca {
namespace {

using Clock = LeaseBook::Clock;

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail_errno(errno, "opening {}", path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

RootKeeper::RootKeeper(EventLoop& loop, Cluster& cluster, Settings settings, Changed changed)
    : loop_(loop),
      cluster_(cluster),
      settings_(std::move(settings)),
      changed_(std::move(changed)),
      book_(settings_.replica) {}

RootKeeper::~RootKeeper() { loop_.cancel(timer_); }

// ---------------------------------------------------------------- a round: lease, roots, publish; then a pause

void RootKeeper::end_round() {
  if (!resigned_) timer_ = loop_.after(settings_.sync, [this] { look_at_lease(); });
}

void RootKeeper::failed(const Error& error, const char* at) {
  const std::string failure = fmt::format("{}: {}", at, error.message);
  if (failure != std::exchange(failure_, failure)) log::error("{}", failure);
  end_round();
}

void RootKeeper::look_at_lease() {
  timer_ = 0;
  cluster_.lease([this](Result<std::optional<LeaseBook::Lease>> lease) {
    if (!lease) {
      // Who can't ask does not lead; signing goes on with what was read last.
      if (settings_.issuer_key_file.empty()) return failed(lease.error(), "the Lease can't be read");
      read_files();
      return failed(lease.error(), "the Lease can't be read");
    }
    lease_ = std::move(*lease);
    const LeaseBook::Move move = book_.decide(lease_, Clock::now());
    if (move == LeaseBook::Move::kFollow) {
      book_.lost();
      return look_at_roots();
    }
    const Clock::time_point asked_at = Clock::now();
    cluster_.write_lease(book_.me(), settings_.lease, lease_, [this, asked_at](const Result<void>& written) {
      if (written) {
        book_.held(asked_at, settings_.lease);
      } else if (written.error().code == ErrorCode::kConflict) {
        book_.lost();  // another replica was faster
      } else {
        return failed(written.error(), "the Lease can't be written");
      }
      look_at_roots();
    });
  });
}

void RootKeeper::look_at_roots() {
  if (led_ != leads()) {
    led_ = leads();
    log::info("{}", led_ ? "leads: makes, rotates and publishes the root"
                         : fmt::format("follows {}: signs, and leaves the root to it", lease_ ? lease_->holder : ""));
  }
  if (!settings_.issuer_key_file.empty()) {
    read_files();
    return publish();
  }
  cluster_.secret([this](const Result<std::optional<Cluster::Secret>>& secret) {
    if (!secret) return failed(secret.error(), "the Secret of the root can't be read");
    on_secret(*secret);
  });
}

void RootKeeper::on_secret(const std::optional<Cluster::Secret>& secret) {
  const bool is_there = secret && !secret->fields.empty();
  if (!is_there && !leads()) return end_round();  // the leader is about to make it
  if (!is_there) {
    auto roots = first_roots(settings_.trust_domain, settings_.times, std::chrono::system_clock::now());
    if (!roots) return failed(roots.error(), "no root can be made");
    return cluster_.write_secret(roots->fields(), secret, [this](const Result<void>& written) {
      if (!written && written.error().code != ErrorCode::kConflict)
        return failed(written.error(), "the Secret of the root can't be made");
      if (written) log::info("made a root for {}", settings_.trust_domain);
      look_at_roots();  // what stands there now counts, whoever wrote it
    });
  }
  auto roots = RootSet::read(secret->fields);
  if (!roots) return failed(roots.error(), "the Secret of the root can't be used; what was read last stays in force");
  auto issuer = Issuer::load(roots->current.key_pem, roots->current.certificate_pem);
  if (issuer && issuer->organisation() != settings_.trust_domain) {
    issuer = fail(ErrorCode::kInvalid, "it is of the trust domain {}, not of {}; remove the Secret to begin a new mesh",
                  issuer->organisation(), settings_.trust_domain);
  }
  if (!issuer) return failed(issuer.error(), "the root can't be used");
  if (const auto used = use(std::move(*issuer), roots->bundle()); !used)
    return failed(used.error(), "the root can't be used");
  roots_ = std::move(*roots);
  if (!leads()) return publish();
  advance_from(*secret);
}

void RootKeeper::advance_from(const Cluster::Secret& secret) {
  auto step = advance(*roots_, settings_.trust_domain, settings_.times, secret.order, std::chrono::system_clock::now());
  if (!step) return failed(step.error(), "the root can't be rotated");
  // A root signs only once its publication is known to have worked.
  const bool published = published_ == authority_->bundle_pem;
  if (!*step || !published) return publish();
  cluster_.write_secret((*step)->roots.fields(), secret, [this, what = (*step)->what](const Result<void>& written) {
    if (!written && written.error().code != ErrorCode::kConflict)
      return failed(written.error(), "the Secret of the root can't be written");
    if (written) log::info("rotation: {}", what);
    look_at_roots();
  });
}

// ---------------------------------------------------------------- an issuer of somebody else's

void RootKeeper::read_files() {
  const auto read = [this]() -> Result<void> {
    LEAT_TRY(const std::string key, read_file(settings_.issuer_key_file));
    LEAT_TRY(const std::string chain, read_file(settings_.issuer_chain_file));
    LEAT_TRY(std::string root, read_file(settings_.root_file));
    LEAT_TRY(Issuer issuer, Issuer::load(key, chain));
    return use(std::move(issuer), std::move(root));
  };
  if (const auto done = read(); !done) {
    const std::string failure = "the given issuer can't be used: " + done.error().message;
    if (failure != std::exchange(failure_, failure)) log::error("{}", failure);
  }
}

// ---------------------------------------------------------------- in force, and published

Result<void> RootKeeper::use(Issuer issuer, std::string bundle_pem) {
  if (authority_ && authority_->bundle_pem == bundle_pem &&
      authority_->issuer.certificate_der() == issuer.certificate_der()) {
    return {};
  }
  LEAT_TRY(const auto roots, certificates_from_pem(bundle_pem));
  Authority authority{.issuer = std::move(issuer), .chain_pem = {}, .bundle_pem = std::move(bundle_pem)};
  for (const std::string& der : authority.issuer.intermediates())
    authority.chain_pem.push_back(pem_of_certificate(der));
  authority.chain_pem.push_back(pem_of_certificate(roots.front()));
  authority_ = std::make_shared<const Authority>(std::move(authority));
  const auto own = ssl::certificate_from_der(authority_->issuer.certificate_der());
  log::info("signs with serial {}; peers trust {} roots", ssl::serial_text(own.get()), roots.size());
  changed_(authority_);
  return {};
}

void RootKeeper::publish() {
  const auto now = Clock::now();
  const bool due =
      authority_ && leads() && (published_ != authority_->bundle_pem || now - published_at_ >= limits::kPublishAgain);
  if (!due) {
    if (authority_) {
      failure_.clear();
      last_good_ = now;
    }
    return end_round();
  }
  const std::string bundle = authority_->bundle_pem;
  cluster_.publish_config_map(bundle, [this, bundle](const Result<void>& written) {
    if (!written) return failed(written.error(), "the ConfigMap of the roots can't be written");
    if (std::exchange(published_, bundle) != bundle) log::info("published the roots");
    published_at_ = Clock::now();
    cluster_.publish_trust_bundle(bundle, [this](const Result<bool>& served) {
      if (!served) return failed(served.error(), "the ClusterTrustBundle can't be written");
      if (!std::exchange(told_of_trust_bundle_, true))
        log::info("ClusterTrustBundle: {}", *served ? "published too" : "not served by this cluster");
      failure_.clear();
      last_good_ = Clock::now();
      end_round();
    });
  });
}

void RootKeeper::resign(const std::function<void()>& done) {
  resigned_ = true;
  loop_.cancel(std::exchange(timer_, 0));
  if (!leads()) return done();
  book_.lost();
  cluster_.lease([this, done](Result<std::optional<LeaseBook::Lease>> lease) {
    if (!lease || !*lease || (*lease)->holder != book_.me()) return done();
    cluster_.write_lease("", settings_.lease, *lease, [done](const Result<void>&) { done(); });
  });
}

}  // namespace leat::ca
