#include "agent/merge.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "agent/limits.h"

namespace leat::agent {
namespace {

using Labels = std::map<std::string, std::string>;

void name_silent(const ProxyChannel::Answers& answers, v1::ApiReply& reply) {
  for (const std::string& instance : answers.silent) {
    add_error(reply, fmt::format("proxy {} did not answer within {} ms; its part is missing", instance,
                                 limits::kQueryDeadline.count()));
  }
}

// Histograms of equal bounds only: a proxy of another version may have others.
void add(const v1::Counter& counter, v1::Counter& sum) {
  sum.set_value(sum.value() + counter.value());
  const v1::Histogram& more = counter.histogram();
  if (!counter.has_histogram()) return;
  v1::Histogram& total = *sum.mutable_histogram();
  if (!std::ranges::equal(more.bounds(), total.bounds()) || more.counts_size() != total.counts_size()) return;
  total.set_sum(total.sum() + more.sum());
  for (int i = 0; i < more.counts_size(); ++i) total.set_counts(i, total.counts(i) + more.counts(i));
}

}  // namespace

void add_error(v1::ApiReply& reply, const std::string& sentence) {
  if (!reply.error().empty()) reply.mutable_error()->append("; ");
  reply.mutable_error()->append(sentence);
}

void merge_flows(const ProxyChannel::Answers& answers, const std::string& node, v1::ApiReply& reply,
                 FlowCursors::Position& position) {
  for (const auto& [instance, message] : answers.replies) {
    const v1::FlowReply& part = message.flow_reply();
    for (const v1::Flow& flow : part.flows()) {
      v1::Flow& added = *reply.add_flows();
      added = flow;
      added.set_node(node);
    }
    uint64_t& read = position.proxies[instance];
    read = std::max(read, part.next_closed_sequence());
  }
  name_silent(answers, reply);
}

void merge_tapped(const ProxyChannel::Answers& answers, const std::string& node, v1::ApiReply& reply,
                  FlowCursors::Position& position) {
  for (const auto& [instance, message] : answers.replies) {
    const v1::TapReply& part = message.tap_reply();
    for (const v1::TappedRequest& request : part.requests()) {
      v1::TappedRequest& added = *reply.add_tapped();
      added = request;
      added.set_node(node);
    }
    reply.set_tap_dropped(reply.tap_dropped() + part.dropped());
    uint64_t& read = position.proxies[instance];
    read = std::max(read, part.next_sequence());
  }
  name_silent(answers, reply);
}

void merge_stats(const ProxyChannel::Answers& answers, v1::ApiReply& reply) {
  std::map<std::string, const v1::Certificate*> certificates;
  std::map<std::pair<std::string, Labels>, v1::Counter> counters;
  for (const auto& [instance, message] : answers.replies) {
    for (const v1::Certificate& certificate : message.stats_reply().certificates()) {
      const v1::Certificate*& kept = certificates[certificate.identity()];
      if (kept == nullptr || kept->not_after_ms() < certificate.not_after_ms()) kept = &certificate;
    }
    for (const v1::Counter& counter : message.stats_reply().counters()) {
      auto [sum, is_new] =
          counters.try_emplace({counter.name(), {counter.labels().begin(), counter.labels().end()}}, counter);
      if (!is_new) add(counter, sum->second);
    }
  }
  for (const auto& [identity, certificate] : certificates) *reply.add_certificates() = *certificate;
  for (auto& [key, counter] : counters) *reply.add_counters() = std::move(counter);
  name_silent(answers, reply);
}

}  // namespace leat::agent
