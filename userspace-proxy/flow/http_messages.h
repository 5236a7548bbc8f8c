// The codec's two halves of a request under way, lent from a stock, so that an idle connection keeps none and a new
// request allocates none.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "userspace-proxy/flow/replay_body.h"
#include "userspace-proxy/http1/reader.h"
#include "userspace-proxy/limits.h"

namespace leat::proxy {

struct HttpMessages {
  http1::RequestReader request;
  http1::ResponseReader response;
  ReplayBody replay;  // of the request
};

class HttpMessageStock {
 public:
  class Loan {
   public:
    explicit Loan(HttpMessageStock& stock) : stock_(stock), messages_(stock.take()) {}
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    ~Loan() { stock_.put(std::move(messages_)); }
    HttpMessages* operator->() const { return messages_.get(); }

   private:
    HttpMessageStock& stock_;
    std::unique_ptr<HttpMessages> messages_;
  };

 private:
  std::unique_ptr<HttpMessages> take() {
    if (spare_.empty()) return std::make_unique<HttpMessages>();
    std::unique_ptr<HttpMessages> messages = std::move(spare_.back());
    spare_.pop_back();
    return messages;
  }
  void put(std::unique_ptr<HttpMessages> messages) {
    if (spare_.size() == limits::kSpareMessages) return;
    messages->replay.clear();
    messages->request.next();
    messages->response.next({});
    spare_.push_back(std::move(messages));
  }

  std::vector<std::unique_ptr<HttpMessages>> spare_;
};

}  // namespace leat::proxy
