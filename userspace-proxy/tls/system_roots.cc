#include "userspace-proxy/tls/system_roots.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <unistd.h>

#include <mutex>
#include <string>

#include "common/unique_fd.h"

namespace leat::tls {
namespace {

constexpr const char* kBundles[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                    "/etc/ssl/cert.pem"};
constexpr size_t kMaxBundleBytes = 8u << 20;

// The one thing of a process that must be had before there is anybody to pass it on.
struct Bundle {
  std::mutex mutex;
  UniqueFd file;
  ssl::Store store;
};
Bundle& bundle() {
  static Bundle one;
  return one;
}

Result<std::string> read_all(int fd) {
  std::string text;
  char piece[16 * 1024];
  for (;;) {
    const ssize_t got = ::pread(fd, piece, sizeof piece, static_cast<off_t>(text.size()));
    if (got < 0) return fail_errno(errno, "reading the system's CA certificates");
    if (got == 0) return text;
    text.append(piece, static_cast<size_t>(got));
    if (text.size() > kMaxBundleBytes)
      return fail(ErrorCode::kInvalid, "the system's CA certificates are more than {} MiB", kMaxBundleBytes >> 20);
  }
}

}  // namespace

void open_system_roots() {
  Bundle& one = bundle();
  for (const char* path : kBundles) {
    if (one.file) return;
    one.file = UniqueFd(::open(path, O_RDONLY | O_CLOEXEC));
  }
}

Result<X509_STORE*> system_roots() {
  Bundle& one = bundle();
  const std::lock_guard lock(one.mutex);
  if (one.store) return one.store.get();
  if (!one.file)
    return fail(ErrorCode::kNotFound,
                "this machine has no CA certificates ({} and the like): install ca-certificates and restart the proxy, "
                "or name caCertificates",
                kBundles[0]);
  LEAT_TRY(const std::string text, read_all(one.file.get()));
  ssl::Store store(X509_STORE_new());
  const ssl::Bytes bytes(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  size_t count = 0;
  while (X509* certificate = PEM_read_bio_X509(bytes.get(), nullptr, nullptr, nullptr)) {
    count += X509_STORE_add_cert(store.get(), certificate) == 1 ? 1 : 0;
    X509_free(certificate);
  }
  ERR_clear_error();  // the end is an error too
  if (count == 0) return fail(ErrorCode::kInvalid, "the system's CA certificates hold none in PEM");
  one.store = std::move(store);
  return one.store.get();
}

}  // namespace leat::tls
