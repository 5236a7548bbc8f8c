#include "cli/follow.h"

#include <fmt/format.h>

namespace leat::cli {
namespace {

std::string key_of(const v1::Flow& flow) {
  return fmt::format("{} {} {} {} {} {}", flow.node(), static_cast<int>(flow.direction()),
                     static_cast<int>(flow.path()), flow.worker(), flow.id(), flow.opened_ms());
}

}  // namespace

std::vector<v1::Flow> FlowNews::take(const std::vector<v1::Flow>& flows) {
  std::vector<v1::Flow> news;
  std::unordered_set<std::string> open;
  for (const v1::Flow& flow : flows) {
    std::string key = key_of(flow);
    if (flow.closed_ms() == 0) {
      if (!open_.contains(key)) news.push_back(flow);
      open.insert(std::move(key));
    } else if (closed_.insert(key).second) {
      news.push_back(flow);
      closed_order_.push_back(std::move(key));
    }
  }
  for (; closed_order_.size() > kRemembered; closed_order_.pop_front()) closed_.erase(closed_order_.front());
  open_ = std::move(open);
  return news;
}

}  // namespace leat::cli
