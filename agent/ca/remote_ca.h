// A CA that is a service of the cluster: leat-ca, istiod or istio-csr, by istio.v1.auth.IstioCertificateService. On the
// agent's event loop. The agent's own token proves which node asks; both its file and the roots' may be replaced at any
// time.
//
// It asks once: who wanted the certificate decides when to try again (userspace-proxy/certificates.h).
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/curl_multi.h"
#include "common/event_loop.h"
#include "common/kubernetes/token_file.h"
#include "common/result.h"

namespace leat::ca {

class RemoteCa {
 public:
  struct Settings {
    std::string address;      // HOST:PORT
    std::string server_name;  // that its certificate must have; empty: the host of `address`
    std::string root_file;    // PEM: what its certificate and the workloads' are checked with
    std::string token_file;   // empty: none is sent
  };
  struct Order {
    std::string who;  // of several orders of one name only the last is answered
    std::string identity;
    std::string request_der;
    std::chrono::seconds lifetime{0};
    bool urgent = false;  // a connection may wait for it: before all that are not
  };
  using Chain = std::vector<std::string>;  // DER, the leaf first, no root
  using Done = std::function<void(Result<Chain>)>;

  // `roots_changed`: roots() says something else now.
  static Result<std::unique_ptr<RemoteCa>> open(EventLoop& loop, Settings settings,
                                                std::function<void()> roots_changed);
  ~RemoteCa();

  // `done` is called once, later; never for an order that another one of the same name took the place of.
  void sign(Order order, Done done);

  [[nodiscard]] const std::vector<std::string>& roots() const { return roots_; }  // DER; empty: none are there
  // Why there are no roots, or why the last order failed; empty: all is well.
  [[nodiscard]] const std::string& failure() const { return roots_failure_.empty() ? failure_ : roots_failure_; }

  static constexpr size_t kAtOnce = 16;                // of one connection's streams
  static constexpr std::chrono::seconds kDeadline{8};  // less than a proxy waits (10 s)
  static constexpr std::chrono::milliseconds kLookAtRoots{2000};
  static constexpr size_t kMostAnswerBytes = 256 * 1024;

 private:
  struct Call;

  RemoteCa(EventLoop& loop, Settings settings, std::function<void()> roots_changed);
  void look_at_roots();
  Result<void> read_roots();
  void begin_next();
  void begin(Call& call);
  void ended(CURL* easy, CURLcode result);
  Result<Chain> chain_of(Call& call, CURLcode result) const;

  EventLoop& loop_;
  Settings settings_;
  std::function<void()> roots_changed_;
  std::unique_ptr<CurlMulti> multi_;
  kubernetes::TokenFile token_;
  std::string roots_text_;
  std::vector<std::string> roots_;
  std::string roots_failure_, failure_;
  EventLoop::TimerId roots_timer_ = 0;
  std::map<std::string, std::unique_ptr<Call>> calls_;  // by `who`: waiting, or under way
  std::deque<std::string> urgent_, others_;             // names of those that wait, in order; some may be gone
  size_t under_way_ = 0;
};

}  // namespace leat::ca
