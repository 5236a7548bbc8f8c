// A place in a document that knows its path: reads typed values, and records a finding for each one that is not
// what it must be.
//
//   const Field port = root["spec"]["ports"].items().front()["port"];      // absent all the way is fine
//   std::optional<uint16_t> number = port.port();                          // "spec.ports[0].port: must be a port, 1 to
//   65535, not 'http'"
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/ip.h"
#include "control/findings.h"
#include "control/objects.h"
#include "control/value.h"

namespace leat::control {

// Where the findings of one object go.
struct FindingSink {
  std::string file;
  int first_line = 0;  // lines of the file before the document's own first line
  std::string object;
  Findings& findings;
  bool check_fields = true;  // false: somebody else has seen to it that no field is there that its kind does not have
  bool usable = true;        // false: the object, or what it would do, can't be told; it must not be put in force
};

class Field {
 public:
  // `document` outlives the field, and every one below it.
  Field(const Value& document, FindingSink& sink)
      : Field(&document, "", line_in(document.line, sink.first_line + 1, sink), sink) {}

  // The field below, present or not; a finding if this is no mapping.
  Field operator[](std::string_view name) const;
  // The elements of a list, each with its index in the path; a finding if this is no list. None if absent.
  [[nodiscard]] std::vector<Field> items() const;
  // The entries of a mapping; a finding if this is none. None if absent.
  [[nodiscard]] std::vector<std::pair<std::string, Field>> entries() const;

  [[nodiscard]] bool present() const { return is(Value::Kind::kScalar) || is_map() || is_list(); }
  [[nodiscard]] bool is_map() const { return is(Value::Kind::kMap); }
  [[nodiscard]] bool is_list() const { return is(Value::Kind::kList); }

  // Values. Nothing where the field is absent, and where it is wrong, which is then a finding.
  [[nodiscard]] std::optional<std::string> text() const;
  [[nodiscard]] std::optional<bool> boolean() const;
  [[nodiscard]] std::optional<uint16_t> port() const;
  [[nodiscard]] std::optional<uint32_t> number(uint32_t least, uint32_t most) const;
  [[nodiscard]] std::optional<IpAddress> address() const;
  [[nodiscard]] std::optional<uint64_t> duration_ms() const;  // Go's form: 5s, 500ms, 1h30m
  // A Kubernetes name: lower-case letters, digits, '-', '.' and '_', at most 253. Anything else is fatal to the object:
  // names become file lines, identities and keys.
  [[nodiscard]] std::optional<std::string> name() const;
  [[nodiscard]] Labels labels() const;
  [[nodiscard]] std::string text_or(std::string_view fallback = "") const {
    return text().value_or(std::string(fallback));
  }

  void error(std::string message) const { report(Severity::kError, std::move(message)); }
  void warn(std::string message) const { report(Severity::kWarning, std::move(message)); }
  // An error that makes the whole object unusable.
  void fatal(std::string message) const;

  [[nodiscard]] const Value* value() const { return value_; }  // null where the field is absent
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] int line() const { return line_; }  // in the file, from 1; the parent's where this field is absent
  [[nodiscard]] FindingSink& sink() const { return *sink_; }

 private:
  Field(const Value* value, std::string path, int line, FindingSink& sink)
      : value_(value), path_(std::move(path)), line_(line), sink_(&sink) {}
  static int line_in(int line_of_document, int otherwise, const FindingSink& sink) {
    return line_of_document == 0 ? otherwise : sink.first_line + line_of_document;
  }
  [[nodiscard]] bool is(Value::Kind kind) const { return value_ != nullptr && value_->kind == kind; }
  [[nodiscard]] std::string path_below(std::string_view name) const;
  void report(Severity severity, std::string message) const;

  const Value* value_;
  std::string path_;
  int line_;
  FindingSink* sink_;
};

// "1m30s" -> 90,000; nothing if it is not such a text or longer than a year.
std::optional<uint64_t> parse_duration_ms(std::string_view text);
// A decimal port, 1 to 65535.
std::optional<uint16_t> parse_port(std::string_view text);

}  // namespace leat::control
