#include "control/value.h"

namespace leat::control {
namespace {

constexpr int kMaxDepth = 128;             // Kubernetes' own objects are below 20
constexpr size_t kValuesOfAliases = 4096;  // more than any file that a person wrote repeats

class Copier {
 public:
  explicit Copier(size_t most_values) : left_(most_values) {}

  bool copy(const YAML::Node& node, int depth, Value& out) {
    if (left_ == 0 || depth > kMaxDepth) return false;
    --left_;
    // A value that was left out ("spec:") has no mark of its own.
    out.line = line_of(node);
    if (!node.IsDefined() || node.IsNull()) return true;
    if (node.IsScalar()) {
      out.kind = Value::Kind::kScalar;
      out.text = node.Scalar();
      return true;
    }
    return node.IsSequence() ? copy_list(node, depth, out) : copy_map(node, depth, out);
  }

 private:
  static int line_of(const YAML::Node& node) {
    return node.IsDefined() && !node.Mark().is_null() ? node.Mark().line + 1 : 0;
  }

  bool copy_list(const YAML::Node& node, int depth, Value& out) {
    out.kind = Value::Kind::kList;
    for (const YAML::Node& item : node) {
      if (!copy(item, depth + 1, out.items.emplace_back())) return false;
    }
    return true;
  }

  bool copy_map(const YAML::Node& node, int depth, Value& out) {
    out.kind = Value::Kind::kMap;
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) continue;  // no field has such a name, and Kubernetes refuses it
      Entry& added = out.entries.emplace_back(entry.first.Scalar(), line_of(entry.first));
      if (!copy(entry.second, depth + 1, added.value)) return false;
    }
    return true;
  }

  size_t left_;
};

}  // namespace

Result<Value> to_value(const YAML::Node& document, size_t text_bytes) {
  Value value;
  if (!Copier(text_bytes + kValuesOfAliases).copy(document, 0, value))
    return fail(ErrorCode::kInvalid, "too deep, or its aliases repeat too much");
  return value;
}

}  // namespace leat::control
