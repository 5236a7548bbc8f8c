#include "control/delta.h"

#include <string>
#include <utility>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

namespace leat::control {
namespace {

using google::protobuf::RepeatedPtrField;

// Equality by bytes: an order of magnitude faster than reflection, and a new field can't be forgotten. Maps are written
// in key order.
class Comparer {
 public:
  bool equal(const google::protobuf::MessageLite& left, const google::protobuf::MessageLite& right) {
    if (left.ByteSizeLong() != right.ByteSizeLong()) return false;
    write(left, left_);
    write(right, right_);
    return left_ == right_;
  }

 private:
  static void write(const google::protobuf::MessageLite& message, std::string& bytes) {
    bytes.clear();
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  std::string left_;
  std::string right_;
};

const std::string& key(const v1::Workload& workload) { return workload.uid(); }
uint32_t key(const v1::Alias& alias) { return alias.id(); }
const std::string& key(const v1::TlsSecret& secret) { return secret.key(); }
// A slash sorts before all that a namespace's name may hold but '-' and '.': compare the parts, not the text.
std::pair<std::string_view, std::string_view> key(const v1::Service& service) {
  return {service.namespace_(), service.name()};
}
std::pair<std::string_view, std::string_view> service_key(std::string_view text) {
  const size_t slash = std::min(text.find('/'), text.size());
  return {text.substr(0, slash), text.substr(std::min(slash + 1, text.size()))};
}

// Walks two sorted lists: `gone(old)` for what is only before, `put(new)` for what is new or differs.
template <typename Entry, typename Gone, typename Put>
void diff_lists(const RepeatedPtrField<Entry>& before, const RepeatedPtrField<Entry>& after, Comparer& comparer,
                Gone gone, Put put) {
  auto old = before.begin();
  for (const Entry& entry : after) {
    while (old != before.end() && key(*old) < key(entry)) gone(*old++);
    const bool known = old != before.end() && key(*old) == key(entry);
    if (!known || !comparer.equal(*old, entry)) put(entry);
    if (known) ++old;
  }
  while (old != before.end()) gone(*old++);
}

// Merges sorted upserts into a sorted list, and leaves out what `removed(entry)` says.
template <typename Entry, typename Removed>
void apply_list(RepeatedPtrField<Entry>& list, RepeatedPtrField<Entry>& upserts, bool any_removed, Removed removed) {
  if (upserts.empty() && !any_removed) return;
  RepeatedPtrField<Entry> merged;
  merged.Reserve(list.size() + upserts.size());
  auto upsert = upserts.begin();
  for (Entry& entry : list) {
    for (; upsert != upserts.end() && key(*upsert) < key(entry); ++upsert) merged.Add()->Swap(&*upsert);
    if (upsert != upserts.end() && key(*upsert) == key(entry)) {
      merged.Add()->Swap(&*upsert++);
    } else if (!removed(entry)) {
      merged.Add()->Swap(&entry);
    }
  }
  for (; upsert != upserts.end(); ++upsert) merged.Add()->Swap(&*upsert);
  list.Swap(&merged);
}

// Says of keys that come in ascending order whether they are in an ascending list.
template <typename List, typename ToKey>
auto in_order(const List& list, ToKey to_key) {
  return [at = list.begin(), end = list.end(), to_key](const auto& entry) mutable {
    while (at != end && to_key(*at) < key(entry)) ++at;
    return at != end && to_key(*at) == key(entry);
  };
}

}  // namespace

v1::MeshChange diff(const v1::Mesh& before, const v1::Mesh& after) {
  v1::MeshChange change;
  Comparer comparer;
  if (!comparer.equal(before.settings(), after.settings())) *change.mutable_settings() = after.settings();
  diff_lists(
      before.workloads(), after.workloads(), comparer,
      [&](const v1::Workload& gone) { change.add_removed_workloads(gone.uid()); },
      [&](const v1::Workload& put) { *change.add_workloads() = put; });
  diff_lists(
      before.services(), after.services(), comparer,
      [&](const v1::Service& gone) { change.add_removed_services(gone.namespace_() + "/" + gone.name()); },
      [&](const v1::Service& put) { *change.add_services() = put; });
  diff_lists(
      before.aliases(), after.aliases(), comparer,
      [&](const v1::Alias& gone) { change.add_removed_aliases(gone.id()); },
      [&](const v1::Alias& put) { *change.add_aliases() = put; });
  diff_lists(
      before.tls_secrets(), after.tls_secrets(), comparer,
      [&](const v1::TlsSecret& gone) { change.add_removed_tls_secrets(gone.key()); },
      [&](const v1::TlsSecret& put) { *change.add_tls_secrets() = put; });
  return change;
}

bool is_empty(const v1::MeshChange& change) { return change.ByteSizeLong() == 0 && !change.has_settings(); }

void apply(v1::Mesh& mesh, v1::MeshChange change) {
  if (change.has_settings()) mesh.mutable_settings()->Swap(change.mutable_settings());
  apply_list(*mesh.mutable_workloads(), *change.mutable_workloads(), !change.removed_workloads().empty(),
             in_order(change.removed_workloads(), [](const std::string& uid) -> const std::string& { return uid; }));
  apply_list(*mesh.mutable_services(), *change.mutable_services(), !change.removed_services().empty(),
             in_order(change.removed_services(), [](const std::string& name) { return service_key(name); }));
  apply_list(*mesh.mutable_aliases(), *change.mutable_aliases(), !change.removed_aliases().empty(),
             in_order(change.removed_aliases(), [](uint32_t id) { return id; }));
  apply_list(*mesh.mutable_tls_secrets(), *change.mutable_tls_secrets(), !change.removed_tls_secrets().empty(),
             in_order(change.removed_tls_secrets(), [](const std::string& key) -> const std::string& { return key; }));
}

}  // namespace leat::control
