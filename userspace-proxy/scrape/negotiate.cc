#include "userspace-proxy/scrape/negotiate.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <string>

namespace leat::proxy::scrape {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Calls `visit` with each part between the separators.
void each_part(std::string_view text, char separator, const std::function<void(std::string_view)>& visit) {
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    visit(trimmed(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

bool same(std::string_view left, std::string_view right) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(left, right, {}, lower, lower);
}

struct Choice {
  std::string_view name;
  std::string_view version;  // empty: any
  double weight = 1;
};

// RFC 9110, section 12.5: `name; parameter=value; q=0.5`.
Choice read_choice(std::string_view text) {
  Choice choice;
  bool first = true;
  each_part(text, ';', [&](std::string_view part) {
    if (std::exchange(first, false)) {
      choice.name = part;
      return;
    }
    const size_t equals = std::min(part.find('='), part.size());
    const std::string_view name = trimmed(part.substr(0, equals));
    const std::string_view value = trimmed(part.substr(std::min(equals + 1, part.size())));
    if (same(name, "version")) choice.version = value;
    if (!same(name, "q")) return;
    double weight = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), weight);
    choice.weight = error == std::errc() ? weight : 0;
  });
  return choice;
}

}  // namespace

ExpositionFormat choose_format(std::string_view accept) {
  double open_metrics = 0;
  double text = 0;
  each_part(accept, ',', [&](std::string_view part) {
    const Choice choice = read_choice(part);
    const bool known_version = choice.version.empty() || choice.version == "1.0.0";
    if (same(choice.name, "application/openmetrics-text") && known_version)
      open_metrics = std::max(open_metrics, choice.weight);
    const bool known_text = choice.version.empty() || choice.version == "0.0.4";
    if ((same(choice.name, "text/plain") && known_text) || same(choice.name, "text/*") || same(choice.name, "*/*"))
      text = std::max(text, choice.weight);
  });
  return open_metrics > 0 && open_metrics >= text ? ExpositionFormat::kOpenMetrics : ExpositionFormat::kPrometheus;
}

bool accepts_gzip(std::string_view accept_encoding) {
  bool accepted = false;
  each_part(accept_encoding, ',', [&](std::string_view part) {
    const Choice choice = read_choice(part);
    if (same(choice.name, "gzip")) accepted = choice.weight > 0;
  });
  return accepted;
}

}  // namespace leat::proxy::scrape
