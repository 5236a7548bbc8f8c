#include "common/cni_message.h"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

namespace leat::cni {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxReplyText = 4096;  // a sentence or two, with an error's text inside
constexpr std::array<std::string_view, 5> kCommands{"ADD", "DEL", "CHECK", "GC", "STATUS"};

// Not UTF-8 becomes something printable, never an exception.
std::string print(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// Reads fields, and remembers whether one was not what it must be.
class Reader {
 public:
  explicit Reader(const Json& object) : object_(object), good_(object.is_object()) {}

  std::string text(const char* key, size_t longest = kMaxNameBytes) {
    const Json* value = find(key);
    if (value == nullptr) return "";
    if (!value->is_string() || value->get_ref<const std::string&>().size() > longest) return refuse<std::string>();
    return *value;
  }

  uint32_t number(const char* key) {
    const Json* value = find(key);
    if (value == nullptr) return 0;
    if (!value->is_number_unsigned() || value->get<uint64_t>() > UINT32_MAX) return refuse<uint32_t>();
    return *value;
  }

  // Calls `each` for the entries of a list, if it is one and not longer than `most`.
  template <typename Each>
  void list(const char* key, size_t most, Each each) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_array() || value->size() > most) return refuse<void>();
    for (const Json& entry : *value) each(entry);
  }

  template <typename T>
  T refuse() {
    good_ = false;
    return T();
  }
  [[nodiscard]] bool good() const { return good_; }

 private:
  const Json* find(const char* key) {
    if (!object_.is_object()) return nullptr;
    const auto found = object_.find(key);
    return found == object_.end() ? nullptr : &*found;
  }

  const Json& object_;
  bool good_;
};

}  // namespace

std::string encode(const Request& request) {
  Json valid = Json::array();
  for (const ContainerInterface& each : request.valid) valid.push_back({each.container_id, each.ifname});
  return print({{"command", request.command},
                {"containerID", request.container.container_id},
                {"ifname", request.container.ifname},
                {"netns", request.netns},
                {"podNamespace", request.pod_namespace},
                {"podName", request.pod_name},
                {"podUID", request.pod_uid},
                {"addresses", request.addresses},
                {"waitMs", request.wait_ms},
                {"valid", std::move(valid)}});
}

std::string encode(const Reply& reply) {
  return print({{"code", static_cast<uint32_t>(reply.code)}, {"message", reply.message}});
}

std::optional<Request> decode_request(std::string_view packet) {
  const Json json = Json::parse(packet, nullptr, /*allow_exceptions=*/false);
  Reader reader(json);
  Request request{.command = reader.text("command"),
                  .container = {reader.text("containerID"), reader.text("ifname")},
                  .netns = reader.text("netns"),
                  .pod_namespace = reader.text("podNamespace"),
                  .pod_name = reader.text("podName"),
                  .pod_uid = reader.text("podUID"),
                  .addresses = {},
                  .wait_ms = reader.number("waitMs"),
                  .valid = {}};
  reader.list("addresses", kMaxAddresses, [&](const Json& entry) {
    if (!entry.is_string()) return reader.refuse<void>();
    request.addresses.push_back(entry);
  });
  reader.list("valid", kMaxMessageBytes, [&](const Json& entry) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_string())
      return reader.refuse<void>();
    request.valid.push_back({entry[0], entry[1]});
  });
  if (!reader.good() || std::ranges::find(kCommands, request.command) == kCommands.end()) return std::nullopt;
  return request;
}

std::optional<Reply> decode_reply(std::string_view packet) {
  const Json json = Json::parse(packet, nullptr, /*allow_exceptions=*/false);
  Reader reader(json);
  Reply reply{.code = static_cast<Code>(reader.number("code")), .message = reader.text("message", kMaxReplyText)};
  if (!reader.good() || !json.contains("code")) return std::nullopt;
  return reply;
}

}  // namespace leat::cni
