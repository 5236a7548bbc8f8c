#include "control/mesh_store.h"

#include <utility>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "common/check.h"

namespace leat::control {
namespace {

// Maps are written in the order of their keys: equal messages are equal bytes.
std::string bytes_of(const google::protobuf::MessageLite& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return {bytes.begin(), bytes.end()};  // no longer than it has to be
}

void parse(const std::string& bytes, google::protobuf::MessageLite& message) {
  LEAT_CHECK(message.ParseFromString(bytes), "what was written here can be read here");
}

}  // namespace

void MeshStore::put_settings(const v1::MeshSettings& settings) {
  settings_changed_ |= bytes_of(settings) != bytes_of(settings_);
  settings_ = settings;
}

void MeshStore::put(const v1::Workload& workload) {
  const std::hash<std::string> hash;
  const Digest digest = hash(bytes_of(workload));
  const auto [known, is_new] = workloads_.try_emplace(hash(workload.uid()), digest);
  if (!is_new && known->second == digest) return;
  if (remembers_) workloads_before_.try_emplace(workload.uid(), is_new ? std::nullopt : std::optional(known->second));
  known->second = digest;
}

void MeshStore::put(const v1::Service& service) {
  std::string bytes = bytes_of(service);
  const Name name{service.namespace_(), service.name()};
  const auto [known, is_new] = services_.try_emplace(name);
  if (!is_new && known->second == bytes) return;
  if (remembers_) services_before_.try_emplace(name, is_new ? std::nullopt : std::optional(known->second));
  known->second = std::move(bytes);
}

void MeshStore::put_secrets(const std::map<std::string, v1::TlsSecret>& secrets) {
  std::map<std::string, std::string> before = std::exchange(secrets_, {});
  for (const auto& [key, secret] : secrets) secrets_.emplace(key, bytes_of(secret));
  if (remembers_ && !secrets_before_) secrets_before_ = std::move(before);
}

void MeshStore::remove_workload(const std::string& uid) {
  const auto known = workloads_.find(std::hash<std::string>()(uid));
  if (known == workloads_.end()) return;
  if (remembers_) workloads_before_.try_emplace(uid, known->second);
  workloads_.erase(known);
}

void MeshStore::remove_service(const Name& name) {
  const auto known = services_.find(name);
  if (known == services_.end()) return;
  if (remembers_) services_before_.try_emplace(name, std::move(known->second));
  services_.erase(known);
}

void MeshStore::add_to(v1::Mesh& mesh) const {
  *mesh.mutable_settings() = settings_;
  mesh.mutable_services()->Reserve(static_cast<int>(services_.size()));
  for (const auto& [name, bytes] : services_) parse(bytes, *mesh.add_services());
  for (const auto& [key, bytes] : secrets_) parse(bytes, *mesh.add_tls_secrets());
}

void MeshStore::take_changes(const MakeWorkload& make, v1::MeshChange& change) {
  const bool settings_changed = std::exchange(settings_changed_, false);
  if (!std::exchange(remembers_, true)) return;
  if (settings_changed) *change.mutable_settings() = settings_;
  for (const auto& [uid, before] : std::exchange(workloads_before_, {})) {
    const auto now = workloads_.find(std::hash<std::string>()(uid));
    if (now == workloads_.end()) {
      if (before) change.add_removed_workloads(uid);
    } else if (before != now->second) {
      *change.add_workloads() = make(uid);
    }
  }
  for (const auto& [name, before] : std::exchange(services_before_, {})) {
    const auto now = services_.find(name);
    if (now == services_.end()) {
      if (before) change.add_removed_services(name.text());
    } else if (before != now->second) {
      parse(now->second, *change.add_services());
    }
  }
  if (!secrets_before_) return;
  const auto before = *std::exchange(secrets_before_, std::nullopt);
  for (const auto& [key, bytes] : before) {
    if (!secrets_.contains(key)) change.add_removed_tls_secrets(key);
  }
  for (const auto& [key, bytes] : secrets_) {
    const auto known = before.find(key);
    if (known == before.end() || known->second != bytes) parse(bytes, *change.add_tls_secrets());
  }
}

}  // namespace leat::control
