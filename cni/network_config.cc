#include "cni/network_config.h"

#include <algorithm>
#include <charconv>

#include <nlohmann/json.hpp>

#include "cni/environment.h"
#include "common/raw_json.h"

namespace leat::cni {
namespace {

using Json = nlohmann::json;

const Json& at(const Json& object, const char* key) {
  static const Json kNothing;
  if (!object.is_object()) return kNothing;
  const auto found = object.find(key);
  return found == object.end() ? kNothing : *found;
}

std::string text_at(const Json& object, const char* key, std::string otherwise = "") {
  const Json& value = at(object, key);
  return value.is_string() ? value.get<std::string>() : otherwise;
}

// An address may belong to an interface on the host's side.
std::vector<std::string> addresses_in(const Json& result) {
  const Json& interfaces = at(result, "interfaces");
  const auto is_outside = [&](const Json& ip) {
    const Json& index = at(ip, "interface");
    if (!index.is_number_unsigned() || !interfaces.is_array() || index.get<size_t>() >= interfaces.size()) return false;
    return text_at(interfaces[index.get<size_t>()], "sandbox").empty();
  };
  std::vector<std::string> addresses;
  const Json& ips = at(result, "ips");
  if (!ips.is_array()) return addresses;
  for (const Json& ip : ips) {
    const std::string address = text_at(ip, "address");
    if (address.empty() || is_outside(ip) || addresses.size() == kMaxAddresses) continue;
    addresses.push_back(address.substr(0, address.find('/')));
  }
  return addresses;
}

std::vector<ContainerInterface> valid_in(const Json& config) {
  std::vector<ContainerInterface> valid;
  for (const char* key : {"cni.dev/valid-attachments", "cni.dev/attachments"}) {
    const Json& list = at(config, key);
    if (!list.is_array()) continue;
    for (const Json& entry : list) valid.push_back({text_at(entry, "containerID"), text_at(entry, "ifname")});
    break;
  }
  return valid;
}

Expected<void> read_own_keys(const Json& json, NetworkConfig& config) {
  const auto fail = [](const char* key, const char* what) {
    return refuse(Code::kInvalidConfig, std::string("leat-cni: ") + key + " " + what,
                  "leat-agent writes this entry; remove it and the agent writes it anew");
  };
  if (const Json& state = at(json, "state"); !state.is_null()) {
    config.state = text_at(json, "state");
    if (!config.state.starts_with('/')) return fail("state", "must be the absolute path of the agent's state folder");
  }
  config.own_namespace = text_at(json, "ownNamespace");
  if (const Json& wait = at(json, "waitMs"); !wait.is_null()) {
    if (!wait.is_number_unsigned() || wait.get<uint64_t>() > static_cast<uint64_t>(kMaxWait.count()))
      return fail("waitMs", "must be a number of milliseconds, 30000 at most");
    config.wait = std::chrono::milliseconds(wait.get<uint64_t>());
  }
  if (const Json& needs = at(json, "statusNeedsAgent"); !needs.is_null()) {
    if (!needs.is_boolean()) return fail("statusNeedsAgent", "must be true or false");
    config.status_needs_agent = needs;
  }
  return {};
}

}  // namespace

Expected<NetworkConfig> read_network_config(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object())
    return refuse(Code::kDecoding, "standard input is not a JSON object: no network configuration");
  NetworkConfig config;
  if (const Json& version = at(json, "cniVersion"); !version.is_null()) {
    if (!version.is_string()) return refuse(Code::kDecoding, "cniVersion is not a text");
    if (version != "") config.cni_version = version;
  }
  config.name = text_at(json, "name");
  if (config.name.empty()) return refuse(Code::kInvalidConfig, "missing network name");
  if (!is_plain_name(config.name))
    return refuse(Code::kInvalidConfig, "invalid characters in network name", config.name);
  if (auto own = read_own_keys(json, config); !own) return std::unexpected(own.error());

  if (const Json& result = at(json, "prevResult"); !result.is_null()) {
    if (!result.is_object()) return refuse(Code::kDecoding, "prevResult is not an object");
    config.prev_result = std::string(raw_member(text, "prevResult").value_or("{}"));
    config.prev_version = text_at(result, "cniVersion");
    config.addresses = addresses_in(result);
  }
  config.valid = valid_in(json);
  return config;
}

bool is_supported(std::string_view version) { return std::ranges::find(kVersions, version) != kVersions.end(); }

namespace {

Expected<std::array<unsigned, 3>> read_version(std::string_view text) {
  std::array<unsigned, 3> numbers{};
  const char* next = text.data();
  const char* const end = text.data() + text.size();
  for (size_t i = 0; i < numbers.size(); ++i) {
    const auto [behind, error] = std::from_chars(next, end, numbers[i]);
    const bool last = behind == end;
    if (error != std::errc() || (!last && *behind != '.') || (last && i == 0))
      return refuse(Code::kDecoding, "cniVersion '" + std::string(text) + "' is not a version");
    if (last) return numbers;
    next = behind + 1;
  }
  return refuse(Code::kDecoding, "cniVersion '" + std::string(text) + "' has too many parts");
}

}  // namespace

Expected<bool> is_at_least(std::string_view version, std::string_view floor) {
  const auto left = read_version(version), right = read_version(floor);
  if (!left) return std::unexpected(left.error());
  if (!right) return std::unexpected(right.error());
  return *left >= *right;
}

// Results of 0.3.x and 0.4.0 are alike, and so are those of 1.x; between the two `ips` differ.
Expected<std::string> chained_result(const NetworkConfig& config) {
  const std::string& text = *config.prev_result;
  if (config.prev_version == config.cni_version) return text;
  if (config.prev_version.empty()) {
    const size_t brace = text.find('{') + 1;
    const bool bare = text.find_first_not_of(" \t\r\n", brace) == text.rfind('}');
    return text.substr(0, brace) + "\"cniVersion\":\"" + config.cni_version + (bare ? "\"" : "\",") +
           text.substr(brace);
  }
  if (config.prev_version.substr(0, 2) != config.cni_version.substr(0, 2) || !is_supported(config.prev_version))
    return refuse(
        Code::kInvalidConfig,
        "prevResult is of CNI version " + config.prev_version + ", the configuration of " + config.cni_version,
        "the plugin before leat-cni in this list answers in a version that was not asked for");
  const std::string_view value = *raw_member(text, "cniVersion");
  std::string out = text;
  out.replace(static_cast<size_t>(value.data() - text.data()), value.size(), "\"" + config.cni_version + "\"");
  return out;
}

}  // namespace leat::cni
