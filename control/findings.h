// What is wrong with an object, for a person: where it stands, which field, what happens because of it.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "control/objects.h"
#include "leat.pb.h"

namespace leat::control {

using Findings = std::vector<v1::Finding>;

// error: something is not in force as written. warning: it is, but probably not what was meant, or Leat ignores it.
enum class Severity : uint8_t { kError, kWarning };

inline v1::Finding make_finding(Severity severity, const Source& where, std::string object, std::string field,
                                std::string message) {
  v1::Finding finding;
  finding.set_file(where.file);
  finding.set_line(where.line);
  finding.set_object(std::move(object));
  finding.set_field(std::move(field));
  finding.set_message(std::move(message));
  finding.set_severity(severity == Severity::kError ? "error" : "warning");
  return finding;
}

// About an object that was read: `field` is a path like "spec.selector", or empty.
template <typename Kind>
v1::Finding finding_on(Severity severity, const Kind& object, std::string field, std::string message) {
  return make_finding(severity, object.meta.source, describe(Kind::kKind, object.meta.name), std::move(field),
                      std::move(message));
}

// The same, about one place in it.
template <typename Kind>
v1::Finding finding_at(Severity severity, const Kind& object, const Place& place, std::string_view below,
                       std::string message) {
  return make_finding(severity, {object.meta.source.file, place.line}, describe(Kind::kKind, object.meta.name),
                      place.field + std::string(below), std::move(message));
}

// In one line: "shop.yaml:3: Service shop/backend spec.selector: selects no pod that runs".
inline std::string text_of(const v1::Finding& finding) {
  const std::string place = finding.file().empty() ? "" : fmt::format("{}:{}: ", finding.file(), finding.line());
  return fmt::format("{}{}{}{}: {}", place, finding.object(), finding.field().empty() ? "" : " ", finding.field(),
                     finding.message());
}

inline bool holds_errors(std::span<const v1::Finding> findings) {
  return std::ranges::any_of(findings, [](const v1::Finding& finding) { return finding.severity() == "error"; });
}

// By file and line, and in one order always: the findings of two runs can be compared.
inline void sort_findings(Findings& findings) {
  std::ranges::sort(findings, {}, [](const v1::Finding& finding) {
    return std::make_tuple(std::string_view(finding.file()), finding.line(), std::string_view(finding.object()),
                           std::string_view(finding.field()), std::string_view(finding.message()));
  });
}

}  // namespace leat::control
