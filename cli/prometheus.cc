#include "cli/prometheus.h"

#include <map>

#include <fmt/format.h>

namespace leat::cli {
namespace {

using Labels = std::map<std::string, std::string>;

std::string escaped(const std::string& value) {
  std::string text;
  for (const char c : value) {
    if (c == '\n') {
      text += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text;
}

std::string sample(const std::string& name, const Labels& labels, double value) {
  std::string listed;
  for (const auto& [label, text] : labels)
    listed += fmt::format("{}{}=\"{}\"", listed.empty() ? "" : ",", label, escaped(text));
  return fmt::format("{}{} {}\n", name, listed.empty() ? "" : "{" + listed + "}", value);
}

// Each bucket counts all that is not above its bound, the last one everything.
std::string histogram(const std::string& name, Labels labels, const v1::Histogram& histogram) {
  std::string text;
  const Buckets buckets(histogram);
  for (const auto& [bound, count] : buckets.cumulative) {
    labels["le"] = fmt::format("{}", bound);
    text += sample(name + "_bucket", labels, static_cast<double>(count));
  }
  labels["le"] = "+Inf";
  text += sample(name + "_bucket", labels, static_cast<double>(buckets.total));
  labels.erase("le");
  text += sample(name + "_sum", labels, histogram.sum());
  return text + sample(name + "_count", labels, static_cast<double>(buckets.total));
}

const char* type_of(const v1::Counter& counter) {
  if (counter.has_histogram()) return "histogram";
  return counter.gauge() ? "gauge" : "counter";
}

}  // namespace

Buckets::Buckets(const v1::Histogram& histogram) {
  for (int i = 0; i < histogram.counts_size(); ++i) {
    total += histogram.counts(i);
    if (i < histogram.bounds_size()) cumulative.emplace_back(histogram.bounds(i), total);
  }
}

namespace {

constexpr std::string_view kTotal = "_total";

// `family`: what a family of this name and type is announced as.
template <typename Family>
std::string text_of(const v1::ApiReply& reply, Family family) {
  std::map<std::string, std::map<Labels, const v1::Counter*>> families;
  for (const v1::Counter& counter : reply.counters())
    families[counter.name()][{counter.labels().begin(), counter.labels().end()}] = &counter;
  std::string text;
  for (const auto& [name, members] : families) {
    text += family(name, type_of(*members.begin()->second));
    for (const auto& [labels, counter] : members)
      text += counter->has_histogram() ? histogram(name, labels, counter->histogram())
                                       : sample(name, labels, counter->value());
  }
  return text;
}

}  // namespace

std::string prometheus_text(const v1::ApiReply& reply) {
  return text_of(reply,
                 [](const std::string& name, const char* type) { return fmt::format("# TYPE {} {}\n", name, type); });
}

std::string openmetrics_text(const v1::ApiReply& reply) {
  const auto family = [](std::string_view name, std::string_view type) {
    if (type != "counter") return fmt::format("# TYPE {} {}\n", name, type);
    if (!name.ends_with(kTotal)) return fmt::format("# TYPE {} unknown\n", name);
    return fmt::format("# TYPE {} counter\n", name.substr(0, name.size() - kTotal.size()));
  };
  return text_of(reply, family) + "# EOF\n";
}

}  // namespace leat::cli
