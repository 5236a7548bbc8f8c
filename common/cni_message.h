// What leat-cni and the agent say to each other on cni.sock: one packet of JSON each way on a connection of its own,
// and beside an ADD or CHECK the pod's network namespace as a descriptor. JSON, because the plugin reads JSON anyway:
// it stays small. Neither side trusts the other's bytes: everything is bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace leat::cni {

inline constexpr char kSocketFile[] = "cni.sock";               // in the agent's state folder
inline constexpr char kEnrolledFile[] = "enrolled-namespaces";  // the same; enrolled_namespaces.h
// Fits a packet of a unix socket with the kernel's default buffer (208 KiB): a GC of 1,500 attachments.
inline constexpr size_t kMaxMessageBytes = 192 * 1024;
inline constexpr size_t kMaxNameBytes = 256;  // container id, pod, namespace, uid, path; Kubernetes allows 253
inline constexpr size_t kMaxAddresses = 16;

struct ContainerInterface {
  std::string container_id;
  std::string ifname;
  auto operator<=>(const ContainerInterface&) const = default;
};

struct Request {
  std::string command;  // ADD, DEL, CHECK, GC or STATUS
  ContainerInterface container;
  std::string netns;  // path, as the container runtime says it; may be empty for DEL
  std::string pod_namespace;
  std::string pod_name;
  std::string pod_uid;
  std::vector<std::string> addresses;     // of the pod, without prefix lengths
  uint32_t wait_ms = 0;                   // how long the plugin will wait for the answer
  std::vector<ContainerInterface> valid;  // GC: everything else is gone
};

// As the specification has them (CNI 1.1.0, section 5).
enum class Code : uint32_t {
  kOk = 0,
  kIncompatibleVersion = 1,
  kUnsupportedField = 2,
  kUnknownContainer = 3,
  kInvalidEnvironment = 4,
  kIo = 5,
  kDecoding = 6,
  kInvalidConfig = 7,
  kInvalidNetns = 8,
  kTryAgainLater = 11,
  kPluginNotAvailable = 50,
  // Our own begin at 100.
  kNotCaptured = 100,
};

// `code` is what the plugin answers with.
struct Reply {
  Code code = Code::kOk;
  std::string message;
};

std::string encode(const Request& request);
std::string encode(const Reply& reply);
// Nothing: not a message, or one beyond the bounds above.
std::optional<Request> decode_request(std::string_view packet);
std::optional<Reply> decode_reply(std::string_view packet);

}  // namespace leat::cni
