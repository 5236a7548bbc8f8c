#include "control/value.h"

#include <fmt/format.h>
#include <simdjson.h>

namespace leat::control {
namespace {

constexpr int kMaxDepth = 128;             // Kubernetes' own objects are below 20
constexpr size_t kValuesOfAliases = 4096;  // more than any file that a person wrote repeats

class Copier {
 public:
  explicit Copier(size_t most_values) : left_(most_values) {}

  // Why copy() returned false.
  [[nodiscard]] std::string reason() const {
    return not_text_line_ < 0
               ? "too deep, or its aliases repeat too much"
               : fmt::format("line {} of it is not UTF-8: save the file in that encoding", not_text_line_);
  }

  bool copy(const YAML::Node& node, int depth, Value& out) {
    if (left_ == 0 || depth > kMaxDepth) return false;
    --left_;
    // A value that was left out ("spec:") has no mark of its own.
    out.line = line_of(node);
    if (!node.IsDefined() || node.IsNull()) return true;
    if (node.IsScalar()) {
      out.kind = Value::Kind::kScalar;
      out.text = node.Scalar();
      return is_text(out.text, out.line);
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
      if (!is_text(entry.first.Scalar(), line_of(entry.first))) return false;
      Entry& added = out.entries.emplace_back(entry.first.Scalar(), line_of(entry.first));
      if (!copy(entry.second, depth + 1, added.value)) return false;
    }
    return true;
  }

  // What is not can't be sent on: the messages that all of it ends in have text of UTF-8 only.
  bool is_text(const std::string& text, int line) {
    if (simdjson::validate_utf8(text)) return true;
    not_text_line_ = line;
    return false;
  }

  size_t left_;
  int not_text_line_ = -1;
};

}  // namespace

Result<Value> to_value(const YAML::Node& document, size_t text_bytes) {
  Value value;
  Copier copier(text_bytes + kValuesOfAliases);
  if (!copier.copy(document, 0, value)) return fail(ErrorCode::kInvalid, "{}", copier.reason());
  return value;
}

}  // namespace leat::control
