// What an API server answers: whatever stands in a list, an event or a failure, it is read to an object or refused, and
// the objects that came of it can be compiled.
#include <cstdint>
#include <string_view>

#include "agent/sources/kubernetes/api_json.h"
#include "agent/sources/kubernetes/object_cache.h"
#include "agent/sources/kubernetes/resources.h"
#include "control/compile.h"

using namespace leat;

// The first byte chooses the kind.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const auto resources = sources::watched_resources("node-a");
  const control::Reader& reader = *resources[data[0] % resources.size()].reader;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);

  sources::ObjectCache cache([](control::Object&) {});
  cache.begin_list(reader);
  (void)sources::read_list(text, [&](const control::Value& item) { cache.put(reader, item); });
  cache.end_list(reader);
  if (const auto event = sources::read_event(text); event && event->type == sources::WatchEvent::Type::kPut)
    cache.put(reader, event->object);
  (void)sources::read_failure(500, text);
  (void)cache.findings();
  control::Books books;
  (void)control::Compiler("node-a", books).compile(cache.objects());
  return 0;
}
