#include "agent/ca/ca.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/unique_fd.h"

namespace leat::ca {
namespace {

Result<std::string> read_file(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return fail_errno(errno, "CA: open {}", path);
  std::string text(64 * 1024, '\0');
  const ssize_t size = read(file.get(), text.data(), text.size());
  if (size < 0) return fail_errno(errno, "CA: read {}", path);
  text.resize(static_cast<size_t>(size));
  return text;
}

// Whole or not at all: a crash leaves no half-written key behind.
Result<void> write_file(const std::string& path, std::string_view text, mode_t mode) {
  const std::string draft = path + ".new";
  const UniqueFd file(open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (!file) return fail_errno(errno, "CA: create {}", draft);
  if (fchmod(file.get(), mode) != 0) return fail_errno(errno, "CA: chmod {}", draft);
  if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return fail_errno(errno, "CA: write {}", draft);
  if (fsync(file.get()) != 0) return fail_errno(errno, "CA: fsync {}", draft);
  if (rename(draft.c_str(), path.c_str()) != 0) return fail_errno(errno, "CA: rename {}", draft);
  return {};
}

// ---- the shared folder

Result<Issuer> make(const std::string& key_path, const std::string& root_path, std::string_view trust_domain) {
  LEAT_TRY(Issuer root, Issuer::make_root(trust_domain));
  // The certificate last: where it stands, the key stands too.
  LEAT_TRY_VOID(write_file(key_path, root.key_pem(), 0600));
  LEAT_TRY_VOID(write_file(root_path, root.certificate_pem(), 0644));
  log::info("CA: made a root for {} in {}", trust_domain, root_path);
  return root;
}

Result<Issuer> load(const std::string& key_path, const std::string& root_path, std::string_view trust_domain) {
  LEAT_TRY(const std::string key_pem, read_file(key_path));
  LEAT_TRY(const std::string root_pem, read_file(root_path));
  Result<Issuer> root = Issuer::load(key_pem, root_pem);
  if (!root) {
    return fail(ErrorCode::kInvalid,
                "CA: {} and {}: {}; restore the pair from a backup, or remove both to begin a new mesh", key_path,
                root_path, root.error().message);
  }
  if (trust_domain != root->organisation()) {
    return fail(ErrorCode::kInvalid, "CA: {} is the root of {}, not of {}; change trustDomain or the folder", root_path,
                root->organisation(), trust_domain);
  }
  return root;
}

}  // namespace

Result<CertificateAuthority> CertificateAuthority::open(const std::string& folder, std::string_view trust_domain) {
  LEAT_TRY_VOID(SpiffeId::make(trust_domain, "ns", "sa"));
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(errno, "CA: mkdir {}", folder);
  const std::string lock_path = folder + "/lock";
  const UniqueFd lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) return fail_errno(errno, "CA: open {}", lock_path);
  if (flock(lock.get(), LOCK_EX) != 0) return fail_errno(errno, "CA: lock {}", lock_path);

  const std::string key_path = folder + "/root.key";
  const std::string root_path = folder + "/root.pem";
  const bool exists = access(root_path.c_str(), F_OK) == 0;
  LEAT_TRY(Issuer root, exists ? load(key_path, root_path, trust_domain) : make(key_path, root_path, trust_domain));
  return CertificateAuthority(std::string(trust_domain), std::move(root));
}

Result<std::string> CertificateAuthority::sign(std::string_view request_der, const SpiffeId& identity,
                                               std::chrono::seconds lifetime) const {
  if (identity.trust_domain != trust_domain_)
    return fail(ErrorCode::kInvalid, "CA: {} is not of the trust domain {}", identity.text(), trust_domain_);
  LEAT_TRY(std::string leaf, root_.sign(request_der, identity, lifetime));
  log::info("CA: issued {} serial {} for {} s", identity.text(),
            ssl::serial_text(ssl::certificate_from_der(leaf).get()), lifetime.count());
  return leaf;
}

std::vector<std::string> CertificateAuthority::roots() const { return {root_.certificate_der()}; }

}  // namespace leat::ca
