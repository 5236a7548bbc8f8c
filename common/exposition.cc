#include "common/exposition.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include <fmt/format.h>

#include "common/metric_help.h"

namespace leat {
namespace {

constexpr std::string_view kTotal = "_total";

void append_escaped(const std::string& value, std::string& out) {
  for (const char c : value) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
}

std::string text_of(const google::protobuf::Map<std::string, std::string>& labels) {
  std::string text;
  const std::map<std::string, std::string> sorted(labels.begin(), labels.end());
  for (const auto& [name, value] : sorted) {
    text += text.empty() ? "" : ",";
    text += name;
    text += "=\"";
    append_escaped(value, text);
    text += '"';
  }
  return text;
}

void append_sample(std::string_view name, std::string_view suffix, std::string_view labels, double value,
                   std::string& out) {
  out += name;
  out += suffix;
  if (!labels.empty()) {
    out += '{';
    out += labels;
    out += '}';
  }
  fmt::format_to(std::back_inserter(out), " {}\n", value);
}

// OpenMetrics writes every number that is a label as a float.
std::string bound_text(double bound, ExpositionFormat format) {
  std::string text = fmt::format("{}", bound);
  if (format == ExpositionFormat::kOpenMetrics && text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

// Each bucket counts all that is not above its bound, the last one everything.
void append_histogram(std::string_view name, std::string_view labels, const v1::Histogram& histogram,
                      ExpositionFormat format, std::string& out) {
  const Buckets buckets(histogram);
  const auto bucket = [&](const std::string& bound, uint64_t count) {
    fmt::format_to(std::back_inserter(out), "{}_bucket{{{}{}le=\"{}\"}} {}\n", name, labels, labels.empty() ? "" : ",",
                   bound, count);
  };
  for (const auto& [bound, count] : buckets.cumulative) bucket(bound_text(bound, format), count);
  bucket("+Inf", buckets.total);
  append_sample(name, "_sum", labels, histogram.sum(), out);
  append_sample(name, "_count", labels, static_cast<double>(buckets.total), out);
}

// Histograms of equal bounds only: a proxy of another version may have others.
void add_histogram(const v1::Histogram& more, v1::Histogram& total) {
  if (!std::ranges::equal(more.bounds(), total.bounds()) || more.counts_size() != total.counts_size()) return;
  total.set_sum(total.sum() + more.sum());
  for (int i = 0; i < more.counts_size(); ++i) total.set_counts(i, total.counts(i) + more.counts(i));
}

}  // namespace

std::string_view content_type(ExpositionFormat format) {
  return format == ExpositionFormat::kPrometheus ? "text/plain; version=0.0.4; charset=utf-8"
                                                 : "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

Buckets::Buckets(const v1::Histogram& histogram) {
  for (int i = 0; i < histogram.counts_size(); ++i) {
    total += histogram.counts(i);
    if (i < histogram.bounds_size()) cumulative.emplace_back(histogram.bounds(i), total);
  }
}

void Exposition::add(const v1::Counter& counter) {
  Family& family = families_[counter.name()];
  family.gauge |= counter.gauge();
  family.histogram |= counter.has_histogram();
  Value& sum = family.members[&*labels_.insert(text_of(counter.labels())).first];
  sum.value += counter.value();
  if (!counter.has_histogram()) return;
  if (sum.histogram) {
    add_histogram(counter.histogram(), *sum.histogram);
  } else {
    sum.histogram = std::make_unique<v1::Histogram>(counter.histogram());
  }
}

// ---------------------------------------------------------------- the text

Exposition::Text::Text(const Exposition& of, ExpositionFormat format) : of_(of), format_(format) {
  for (const auto& [name, family] : of.families_) names_.push_back(&name);
}

// In OpenMetrics a counter's family has no "_total".
void Exposition::Text::begin_family(std::string& out) {
  std::string_view name = *names_[family_];
  const Family& family = of_.families_.at(*names_[family_]);
  std::string_view type = family.type();
  if (format_ == ExpositionFormat::kOpenMetrics && type == "counter") {
    if (name.ends_with(kTotal)) {
      name.remove_suffix(kTotal.size());
    } else {
      type = "unknown";
    }
  }
  if (const std::string_view help = metric_help(*names_[family_]); !help.empty())
    fmt::format_to(std::back_inserter(out), "# HELP {} {}\n", name, help);
  fmt::format_to(std::back_inserter(out), "# TYPE {} {}\n", name, type);
  for (const auto& [labels, value] : family.members) members_.push_back(labels);
}

bool Exposition::Text::append(std::string& out, size_t enough) {
  const size_t until = out.size() + enough;
  for (; family_ < names_.size(); ++family_, member_ = 0, members_.clear()) {
    if (members_.empty()) begin_family(out);
    const std::string& name = *names_[family_];
    const Family& family = of_.families_.at(name);
    for (; member_ < members_.size(); ++member_) {
      if (out.size() >= until) return true;
      const Value& value = family.members.at(members_[member_]);
      if (value.histogram) {
        append_histogram(name, *members_[member_], *value.histogram, format_, out);
      } else {
        append_sample(name, "", *members_[member_], value.value, out);
      }
    }
  }
  if (format_ == ExpositionFormat::kOpenMetrics) out += "# EOF\n";
  return false;
}

std::string exposition_text(const google::protobuf::RepeatedPtrField<v1::Counter>& counters, ExpositionFormat format) {
  Exposition exposition;
  for (const v1::Counter& counter : counters) exposition.add(counter);
  std::string text;
  Exposition::Text(exposition, format).append(text, SIZE_MAX / 2);
  return text;
}

}  // namespace leat
