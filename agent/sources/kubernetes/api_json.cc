#include "agent/sources/kubernetes/api_json.h"

#include <fmt/format.h>
#include <simdjson.h>

namespace leat::sources {
namespace {

using control::Value;
using simdjson::dom::element;
using simdjson::dom::element_type;

constexpr int kMaxDepth = 128;                   // Kubernetes' own objects are below 20
constexpr size_t kMaxQuotedBytes = 300;          // of a body that is no Status, in a message
constexpr size_t kLargestAnswer = 0xffff'ffffu;  // simdjson's own bound; the client cuts answers far below it

// Half of many an object, and of no use here.
bool is_ballast(std::string_view key) {
  return key == "managedFields" || key == "kubectl.kubernetes.io/last-applied-configuration";
}

Value to_value(const element& json, int depth) {
  Value value;
  if (depth > kMaxDepth) return value;
  const auto scalar = [&value](std::string text) {
    value.kind = Value::Kind::kScalar;
    value.text = std::move(text);
  };
  switch (json.type()) {
    case element_type::ARRAY:
      value.kind = Value::Kind::kList;
      for (const element item : simdjson::dom::array(json)) value.items.push_back(to_value(item, depth + 1));
      break;
    case element_type::OBJECT:
      value.kind = Value::Kind::kMap;
      for (const auto& [key, field] : simdjson::dom::object(json)) {
        if (!is_ballast(key)) value.entries.emplace_back(std::string(key), 0, to_value(field, depth + 1));
      }
      break;
    case element_type::STRING:
      scalar(std::string(std::string_view(json)));
      break;
    case element_type::INT64:
      scalar(std::to_string(int64_t(json)));
      break;
    case element_type::UINT64:
      scalar(std::to_string(uint64_t(json)));
      break;
    case element_type::DOUBLE:
      scalar(fmt::format("{}", double(json)));
      break;
    case element_type::BOOL:
      scalar(bool(json) ? "true" : "false");
      break;
    case element_type::NULL_VALUE:
      break;
  }
  return value;
}

std::string text_at(const element& json, std::string_view pointer) {
  std::string_view text;
  return json.at_pointer(pointer).get(text) == simdjson::SUCCESS ? std::string(text) : "";
}

int64_t number_at(const element& json, std::string_view pointer) {
  int64_t number = 0;
  return json.at_pointer(pointer).get(number) == simdjson::SUCCESS ? number : 0;
}

void write_text(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", c);
    } else {
      out += c;
    }
  }
  out += '"';
}

void write_value(const Value& value, std::string& out) {
  char separator = 0;
  const auto next = [&] {
    if (separator != 0) out += separator;
    separator = ',';
  };
  switch (value.kind) {
    case Value::Kind::kNull:
      out += "null";
      break;
    case Value::Kind::kScalar:
      write_text(value.text, out);
      break;
    case Value::Kind::kList:
      out += '[';
      for (const Value& item : value.items) {
        next();
        write_value(item, out);
      }
      out += ']';
      break;
    case Value::Kind::kMap:
      out += '{';
      for (const control::Entry& entry : value.entries) {
        next();
        write_text(entry.key, out);
        out += ':';
        write_value(entry.value, out);
      }
      out += '}';
      break;
  }
}

Result<element> parse(simdjson::dom::parser& parser, std::string_view text) {
  element root;
  const auto error = parser.parse(text.data(), text.size()).get(root);
  if (error != simdjson::SUCCESS) return fail(ErrorCode::kProtocol, "not JSON: {}", simdjson::error_message(error));
  if (!root.is_object()) return fail(ErrorCode::kProtocol, "not a JSON object");
  return root;
}

// Of a v1 Status.
Informer::Failure to_failure(const element& status) {
  Informer::Failure failure{.status = static_cast<int>(number_at(status, "/code")),
                            .reason = text_at(status, "/reason"),
                            .message = text_at(status, "/message"),
                            .retry_after = {}};
  if (const int64_t wait = number_at(status, "/details/retryAfterSeconds"); wait > 0)
    failure.retry_after = std::chrono::seconds(wait);
  return failure;
}

}  // namespace

Result<ListPage> read_list(std::string_view body, const std::function<void(Value item)>& each) {
  simdjson::dom::parser parser(kLargestAnswer);
  LEAT_TRY(const element root, parse(parser, body));
  simdjson::dom::array items;
  const auto error = root["items"].get(items);
  if (error != simdjson::SUCCESS && !root["items"].is_null()) return fail(ErrorCode::kProtocol, "a list without items");
  ListPage page{text_at(root, "/metadata/resourceVersion"), text_at(root, "/metadata/continue")};
  if (page.resource_version.empty()) return fail(ErrorCode::kProtocol, "a list without a resource version");
  if (error == simdjson::SUCCESS) {
    for (const element item : items) each(to_value(item, 0));
  }
  return page;
}

Result<WatchEvent> read_event(std::string_view line) {
  simdjson::dom::parser parser(kLargestAnswer);
  LEAT_TRY(const element root, parse(parser, line));
  const std::string type = text_at(root, "/type");
  element object;
  if (root["object"].get(object) != simdjson::SUCCESS) return fail(ErrorCode::kProtocol, "an event without an object");
  WatchEvent event{.resource_version = text_at(object, "/metadata/resourceVersion"), .object = {}, .failure = {}};
  if (type == "ADDED" || type == "MODIFIED") {
    event.type = WatchEvent::Type::kPut;
  } else if (type == "DELETED") {
    event.type = WatchEvent::Type::kDeleted;
  } else if (type == "BOOKMARK") {
    event.type = WatchEvent::Type::kBookmark;
    return event;
  } else if (type == "ERROR") {
    event.type = WatchEvent::Type::kError;
    event.failure = to_failure(object);
    return event;
  } else {
    return fail(ErrorCode::kProtocol, "an event of an unknown type '{}'", type);
  }
  event.object = to_value(object, 0);
  return event;
}

Result<Value> read_document(std::string_view line) {
  simdjson::dom::parser parser(kLargestAnswer);
  LEAT_TRY(const element root, parse(parser, line));
  return to_value(root, 0);
}

std::string to_json(const Value& document) {
  std::string out;
  write_value(document, out);
  return out;
}

Informer::Failure read_failure(int http_status, std::string_view body) {
  simdjson::dom::parser parser(kLargestAnswer);
  const Result<element> root = parse(parser, body);
  Informer::Failure failure = root ? to_failure(*root) : Informer::Failure{};
  failure.status = http_status;  // what was answered counts, whatever a proxy on the way put into the body
  if (!root) failure.message = std::string(body.substr(0, kMaxQuotedBytes));
  return failure;
}

}  // namespace leat::sources
