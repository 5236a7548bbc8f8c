// Health and metrics over plain HTTP, for the kubelet and for Prometheus: GET of a few paths, an answer, the end.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/event_loop.h"
#include "common/ip.h"
#include "common/result.h"
#include "common/unique_fd.h"

namespace leat::ca {

class StatusServer {
 public:
  struct Page {
    bool good = true;  // 200, else 503
    std::string body;
  };
  using Pages = std::map<std::string, std::function<Page()>>;  // by path

  static Result<std::unique_ptr<StatusServer>> open(EventLoop& loop, const std::string& address, Pages pages);
  ~StatusServer();

 private:
  struct Visitor {
    UniqueFd fd;
    std::string head;
    EventLoop::TimerId timer = 0;
  };
  StatusServer(EventLoop& loop, UniqueFd listener, Pages pages);
  void accept_one();
  void read_from(int fd);
  void leave(int fd);
  [[nodiscard]] std::string answer_to(const std::string& head) const;

  EventLoop& loop_;
  UniqueFd listener_;
  Pages pages_;
  std::map<int, Visitor> visitors_;
};

}  // namespace leat::ca
