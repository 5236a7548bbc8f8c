#include "agent/sources/kubernetes/finding_events.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "agent/sources/kubernetes/limits.h"

namespace leat::sources {
namespace {

using control::ObjectKey;

// As findings say it. A sentence that is worded otherwise is InvalidField or NotAsMeant: a reason too few, not a wrong
// one. The references come first: "has no effect: there is no Service shop/a".
constexpr std::string_view kOfReferences[] = {
    "there is no ", "no ReferenceGrant",          " has no port ",     " has no subset ", " is headless",
    "selects no ",  "has no TCP port of its own", " is no kind that ", " carries HTTP",   "does not carry HTTP"};
constexpr std::string_view kOfSupport[] = {"not supported", "unknown field", "without effect", "has no effect"};

bool says_one_of(std::string_view message, auto& words) {
  return std::ranges::any_of(words, [message](std::string_view word) { return message.find(word) != message.npos; });
}

// "VirtualService shop/backend" as facts have it; nothing: of another kind, or not there.
std::optional<std::pair<ObjectKey, const ObjectFacts*>> find_object(const std::string& object,
                                                                    const std::map<ObjectKey, ObjectFacts>& facts) {
  const size_t space = object.find(' ');
  if (space == std::string::npos) return std::nullopt;
  const size_t slash = object.find('/', space);
  const control::Name name = slash == std::string::npos
                                 ? control::Name{"", object.substr(space + 1)}
                                 : control::Name{object.substr(space + 1, slash - space - 1), object.substr(slash + 1)};
  const auto found = facts.find(ObjectKey{std::string_view(object).substr(0, space), name});
  if (found == facts.end()) return std::nullopt;
  return std::make_pair(found->first, &found->second);
}

// At the end of a character.
std::string shortened(std::string text) {
  if (text.size() <= limits::kNoteBytes) return text;
  constexpr std::string_view kMore = " …";
  size_t size = limits::kNoteBytes - kMore.size();
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  text.resize(size);
  return text.append(kMore);
}

}  // namespace

std::string_view reason_of(const v1::Finding& finding) {
  const std::string_view message = finding.message();
  if (says_one_of(message, kOfReferences)) return "InvalidReference";
  if (message.starts_with("must ")) return "InvalidField";
  if (says_one_of(message, kOfSupport)) return "UnsupportedField";
  return finding.severity() == "error" ? "InvalidField" : "NotAsMeant";
}

std::vector<Event> finding_events(const std::vector<v1::Finding>& findings,
                                  const std::map<ObjectKey, ObjectFacts>& facts,
                                  const std::function<std::string(std::string_view kind)>& api_version) {
  std::vector<Event> events;
  for (const v1::Finding& finding : findings) {
    const auto object = find_object(finding.object(), facts);
    if (!object) continue;
    const auto& [key, known] = *object;
    events.push_back(
        {.regarding = {.api_version = api_version(key.kind),
                       .kind = std::string(key.kind),
                       .ns = key.name.ns,
                       .name = key.name.name,
                       .uid = known->uid},
         .warning = true,
         .reason = std::string(reason_of(finding)),
         .action = "Apply",
         .note = shortened(finding.field().empty() ? finding.message()
                                                   : fmt::format("{}: {}", finding.field(), finding.message()))});
  }
  return events;
}

}  // namespace leat::sources
