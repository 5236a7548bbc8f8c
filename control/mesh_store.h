// The compiled mesh, as far as it is kept: of a Service the bytes that are sent of it, of a workload a digest of them.
// To see whether a part that was compiled anew says anything new is to compare two of these. Workloads are as many as
// the mesh has pods, and quickly made again of what the compiler has of them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "control/objects.h"
#include "leat.pb.h"

namespace leat::control {

class MeshStore {
 public:
  void put_settings(const v1::MeshSettings& settings);
  void put(const v1::Workload& workload);
  void put(const v1::Service& service);
  void put_secrets(const std::map<std::string, v1::TlsSecret>& secrets);  // all of them, by key
  void remove_workload(const std::string& uid);
  void remove_service(const Name& name);

  [[nodiscard]] const v1::MeshSettings& settings() const { return settings_; }
  [[nodiscard]] size_t workloads() const { return workloads_.size(); }
  [[nodiscard]] size_t services() const { return services_.size(); }

  // Settings, Services in the order of their names, and secrets by key.
  void add_to(v1::Mesh& mesh) const;
  // What differs from what the last call has seen, as delta.h has it; the first one sees nothing. `make` makes a
  // workload that was put.
  using MakeWorkload = std::function<v1::Workload(const std::string& uid)>;
  void take_changes(const MakeWorkload& make, v1::MeshChange& change);

 private:
  using Digest = uint64_t;

  v1::MeshSettings settings_;
  std::unordered_map<uint64_t, Digest> workloads_;  // by a hash of the uid; two of one hash would be sent too often
  std::map<Name, std::string> services_;
  std::map<std::string, std::string> secrets_;  // by key

  // What was there of what was touched since the last take_changes(); nothing: it is new.
  bool remembers_ = false;
  bool settings_changed_ = false;
  std::map<std::string, std::optional<Digest>> workloads_before_;
  std::map<Name, std::optional<std::string>> services_before_;
  std::optional<std::map<std::string, std::string>> secrets_before_;  // all of them, if they were put
};

}  // namespace leat::control
