#include "control/read_text_match.h"

#include <fmt/format.h>

#include "common/regex.h"

namespace leat::control {

void read_text_match(const Field& field, Empty empty, v1::StringMatch& match) {
  const auto entries = field.entries();
  if (entries.empty() && empty == Empty::kPresent && (!field.present() || field.is_map())) return;
  if (entries.size() != 1) return field.error("must be one of exact, prefix and regex");
  const auto& [kind, value] = entries.front();
  const auto text = value.text();
  if (!text) return value.error("must be a text");
  if (kind == "exact") return match.set_exact(*text);
  if (kind == "prefix") return match.set_prefix(*text);
  if (kind != "regex") return field.error("must be one of exact, prefix and regex");
  if (*text == "*" && empty == Empty::kPresent) return;  // Istio's word for any value
  const auto regex = Regex::compile(*text);
  if (!regex) return value.error(fmt::format("no regular expression (RE2): {}", regex.error().message));
  match.set_regex(*text);
}

}  // namespace leat::control
