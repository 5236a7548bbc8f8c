#include "cni/environment.h"

#include <algorithm>
#include <array>

namespace leat::cni {
namespace {

constexpr size_t kMaxIfnameBytes = 15;  // IFNAMSIZ less its end

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool is_true(const std::string& text) {
  return text == "1" || text == "t" || text == "true" || text == "TRUE" || text == "True";
}

Expected<void> check_ifname(const std::string& name) {
  const auto fail = [&](const char* why) {
    return refuse(Code::kInvalidEnvironment, why, "CNI_IFNAME is '" + name + "'");
  };
  if (name.size() > kMaxIfnameBytes) return fail("interface name is too long");
  if (name == "." || name == "..") return fail("interface name is . or ..");
  if (std::ranges::any_of(name, [](char c) { return c == '/' || c == ':' || is_space(c); }))
    return fail("interface name contains / or : or whitespace characters");
  return {};
}

// Which commands need which variable.
struct Needed {
  const char* name;
  std::string Environment::* field;
  std::string_view commands;
};
constexpr std::array kNeeded{
    Needed{"CNI_CONTAINERID", &Environment::container_id, " ADD DEL CHECK "},
    Needed{"CNI_NETNS", &Environment::netns, " ADD CHECK "},
    Needed{"CNI_IFNAME", &Environment::ifname, " ADD DEL CHECK "},
};
constexpr std::string_view kNeedPath = " ADD DEL CHECK GC STATUS ";

bool is_among(std::string_view commands, const std::string& command) { return commands.contains(" " + command + " "); }

Expected<void> read_arguments(std::string_view text, Environment& out) {
  while (!text.empty()) {
    const size_t end = std::min(text.find(';'), text.size());
    const std::string_view pair = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos)
      return refuse(Code::kInvalidEnvironment, "CNI_ARGS: invalid pair '" + std::string(pair) + "'");
    const std::string_view key = pair.substr(0, equals), value = pair.substr(equals + 1);
    if (key == "K8S_POD_NAMESPACE") out.pod_namespace = value;
    if (key == "K8S_POD_NAME") out.pod_name = value;
    if (key == "K8S_POD_UID") out.pod_uid = value;
  }
  return {};
}

}  // namespace

bool is_plain_name(std::string_view text) {
  return !text.empty() && is_alphanumeric(text.front()) &&
         std::ranges::all_of(text, [](char c) { return is_alphanumeric(c) || c == '_' || c == '.' || c == '-'; });
}

Expected<Environment> read_environment(const GetVariable& get) {
  Environment out{.command = get("CNI_COMMAND")};
  std::string missing = out.command.empty() ? "CNI_COMMAND" : "";
  const auto miss = [&](const char* name) { missing += (missing.empty() ? "" : ",") + std::string(name); };
  for (const Needed& needed : kNeeded) {
    out.*needed.field = get(needed.name);
    if ((out.*needed.field).empty() && is_among(needed.commands, out.command)) miss(needed.name);
  }
  if (is_among(kNeedPath, out.command) && get("CNI_PATH").empty()) miss("CNI_PATH");
  if (!missing.empty()) return refuse(Code::kInvalidEnvironment, "required env variables [" + missing + "] missing");

  const bool tolerant = out.command == "DEL";
  if (out.command == "ADD" || out.command == "CHECK") {
    if (!is_plain_name(out.container_id))
      return refuse(Code::kInvalidEnvironment, "invalid characters in containerID", out.container_id);
    if (auto good = check_ifname(out.ifname); !good) return std::unexpected(good.error());
  }
  out.netns_may_be_own = is_true(get("CNI_NETNS_OVERRIDE"));
  if (auto read = read_arguments(get("CNI_ARGS"), out); !read && !tolerant) return std::unexpected(read.error());
  return out;
}

}  // namespace leat::cni
