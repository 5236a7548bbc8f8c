// The API server's answers -> documents that control/ reads objects from.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "agent/sources/kubernetes/informer.h"
#include "common/result.h"
#include "control/value.h"

namespace leat::sources {

struct ListPage {
  std::string resource_version;
  std::string continue_token;  // empty: this was the last page
};
// Calls `each` for every item, in order. Fails if the text is no list; `each` may have been called by then.
Result<ListPage> read_list(std::string_view body, const std::function<void(control::Value item)>& each);

struct WatchEvent {
  enum class Type : uint8_t { kPut, kDeleted, kBookmark, kError };
  Type type = Type::kPut;
  std::string resource_version;  // of the object
  control::Value object;
  Informer::Failure failure;  // of kError
};
// One line of a watch's stream.
Result<WatchEvent> read_event(std::string_view line);

// One document as to_json() wrote it. Scalars are all texts there, which is what a Value keeps of them.
Result<control::Value> read_document(std::string_view line);
// In one line, without its end.
std::string to_json(const control::Value& document);

// What an answer other than 200 says: its body may be a Status, or anything.
Informer::Failure read_failure(int http_status, std::string_view body);

}  // namespace leat::sources
