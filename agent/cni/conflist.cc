#include "agent/cni/conflist.h"

#include <algorithm>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/raw_json.h"

namespace leat::agent {
namespace {

using Json = nlohmann::ordered_json;

std::string text_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string type_of(std::string_view plugin) {
  const Json json = Json::parse(plugin, nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? text_at(json, "type") : "";
}

Json entry_json(const PluginEntry& entry) {
  Json json{{"type", kPluginType}, {"state", entry.state}};
  if (!entry.own_namespace.empty()) json["ownNamespace"] = entry.own_namespace;
  json["waitMs"] = entry.wait_ms;
  return json;
}

// `{"type": …, "state": …}` on one line, whatever stands around it.
std::string entry_text(const PluginEntry& entry) {
  std::string text = "{";
  for (const auto& [key, value] : entry_json(entry).items())
    text += (text.size() > 1 ? ", " : "") + Json(key).dump() + ": " + value.dump();
  return text + "}";
}

// What stands before the first element: a space, or a line end and the indentation, in the file's own way.
std::string gap_before(std::string_view list, std::string_view element) {
  const auto begin = static_cast<size_t>(element.data() - list.data());
  const size_t behind = list.find_last_not_of(" \t\r\n", begin - 1) + 1;
  return std::string(list.substr(behind, begin - behind));
}

struct Plugins {
  size_t begin = 0, end = 0;  // of the array in the text
  std::vector<std::string_view> elements;
};

Result<Plugins> plugins_in(std::string_view list) {
  LEAT_TRY(const NetworkFile network, read_network_file(list));
  if (!network.is_list) return fail(ErrorCode::kInvalid, "it is no list of plugins");
  const std::string_view array = *cni::raw_member(list, "plugins");
  const auto begin = static_cast<size_t>(array.data() - list.data());
  return Plugins{.begin = begin, .end = begin + array.size(), .elements = cni::raw_elements(array)};
}

// Removes an element with the comma that belongs to it.
void cut(std::string& list, std::string_view original, const Plugins& plugins, size_t index) {
  const auto offset = [&](std::string_view part) { return static_cast<size_t>(part.data() - original.data()); };
  const std::string_view element = plugins.elements[index];
  size_t begin = offset(element), end = begin + element.size();
  if (index > 0) {
    const std::string_view before = plugins.elements[index - 1];
    begin = offset(before) + before.size();
  } else if (plugins.elements.size() > 1) {
    end = offset(plugins.elements[1]);
  }
  list.erase(begin, end - begin);
}

}  // namespace

Result<NetworkFile> read_network_file(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return fail(ErrorCode::kInvalid, "it is not a JSON object");
  NetworkFile file{.name = text_at(json, "name"), .cni_version = text_at(json, "cniVersion")};
  const auto plugins = json.find("plugins");
  file.is_list = plugins != json.end();
  if (file.name.empty()) return fail(ErrorCode::kInvalid, "it has no `name`");
  if (!file.is_list) {
    if (text_at(json, "type").empty()) return fail(ErrorCode::kInvalid, "it has neither `plugins` nor a `type`");
    return file;
  }
  if (!plugins->is_array() || plugins->empty())
    return fail(ErrorCode::kInvalid, "`plugins` is not a list with plugins");
  for (const Json& plugin : *plugins) {
    if (!plugin.is_object() || text_at(plugin, "type").empty())
      return fail(ErrorCode::kInvalid, "a plugin of it has no `type`");
  }
  return file;
}

Result<std::string> with_entry(std::string_view list, const PluginEntry& entry) {
  LEAT_TRY(const Plugins plugins, plugins_in(list));
  const auto ours = std::ranges::count(plugins.elements, kPluginType, type_of);
  if (ours == 1 && Json::parse(plugins.elements.back()) == entry_json(entry)) return std::string(list);
  LEAT_TRY(std::string out, without_entry(list));
  LEAT_TRY(const Plugins others, plugins_in(out));
  const std::string_view last = others.elements.back();
  const auto behind = static_cast<size_t>(last.data() - out.data()) + last.size();
  std::string gap = gap_before(out, others.elements.front());
  if (gap.empty()) gap = " ";
  return out.insert(behind, "," + gap + entry_text(entry));
}

Result<std::string> without_entry(std::string_view list) {
  std::string out(list);
  for (;;) {
    const std::string before = out;
    LEAT_TRY(const Plugins plugins, plugins_in(before));
    const auto ours = std::ranges::find(plugins.elements, kPluginType, type_of);
    if (ours == plugins.elements.end()) return out;
    if (plugins.elements.size() == 1)
      return fail(ErrorCode::kInvalid, "leat-cni is its only plugin: there is no network to chain to");
    cut(out, before, plugins, static_cast<size_t>(ours - plugins.elements.begin()));
  }
}

Result<std::string> list_of(std::string_view single, const PluginEntry& entry) {
  LEAT_TRY(const NetworkFile network, read_network_file(single));
  if (network.is_list) return fail(ErrorCode::kInvalid, "it is a list already");
  if (type_of(single) == kPluginType)
    return fail(ErrorCode::kInvalid, "leat-cni is its only plugin: there is no network to chain to");
  const size_t begin = single.find_first_not_of(" \t\r\n"), end = single.find_last_not_of(" \t\r\n");
  const std::string end_of_line = single.contains("\r\n") ? "\r\n" : "\n";
  std::string out = "{" + end_of_line;
  if (!network.cni_version.empty()) out += "  \"cniVersion\": " + Json(network.cni_version).dump() + "," + end_of_line;
  out += "  \"name\": " + Json(network.name).dump() + "," + end_of_line;
  out += "  \"plugins\": [" + end_of_line + "    " + std::string(single.substr(begin, end + 1 - begin));
  return out + "," + end_of_line + "    " + entry_text(entry) + end_of_line + "  ]" + end_of_line + "}" + end_of_line;
}

std::string drop_in(const NetworkFile& network, const PluginEntry& entry) {
  Json json{{"cniVersion", network.cni_version.empty() ? "1.0.0" : network.cni_version}, {"name", network.name}};
  json.update(entry_json(entry));
  return json.dump(2) + "\n";
}

}  // namespace leat::agent
