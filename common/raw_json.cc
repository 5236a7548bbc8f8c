#include "common/raw_json.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace leat::cni {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

size_t skip_space(std::string_view text, size_t at) {
  return std::min(text.find_first_not_of(kSpace, at), text.size());
}

// Just behind the string that begins at `at`.
size_t skip_string(std::string_view text, size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at + 1, text.size());
}

// Just behind the value that begins at `at`.
size_t skip_value(std::string_view text, size_t at) {
  size_t depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '"') {
      at = skip_string(text, at);
    } else if (c == '{' || c == '[') {
      ++depth, ++at;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return at;  // of the object around: the value was a number or a word
      --depth, ++at;
    } else if (depth == 0 && (c == ',' || kSpace.contains(c))) {
      return at;
    } else {
      ++at;
      continue;
    }
    if (depth == 0) return at;
  }
  return at;
}

}  // namespace

std::optional<std::string_view> raw_member(std::string_view object, std::string_view key) {
  std::optional<std::string_view> found;
  size_t at = skip_space(object, 0) + 1;  // behind the brace
  while ((at = skip_space(object, at)) < object.size() && object[at] == '"') {
    const size_t key_end = skip_string(object, at);
    const std::string_view name = object.substr(at, key_end - at);
    const size_t colon = skip_space(object, key_end);
    const size_t begin = skip_space(object, colon + 1);
    const size_t end = skip_value(object, begin);
    if (begin >= object.size()) break;
    if (nlohmann::json::parse(name, nullptr, /*allow_exceptions=*/false) == key)
      found = object.substr(begin, end - begin);
    at = skip_space(object, end) + 1;  // behind the comma
  }
  return found;
}

std::vector<std::string_view> raw_elements(std::string_view array) {
  std::vector<std::string_view> elements;
  size_t at = skip_space(array, 0) + 1;  // behind the bracket
  while ((at = skip_space(array, at)) < array.size() && array[at] != ']') {
    const size_t end = skip_value(array, at);
    elements.push_back(array.substr(at, end - at));
    at = skip_space(array, end);
    if (at < array.size() && array[at] == ',') ++at;
  }
  return elements;
}

}  // namespace leat::cni
