// The agent's stores of ids, read back from disk: what is accepted is saved as the same ids.
#include <cstdint>
#include <string_view>

#include "common/check.h"
#include "control/alias_book.h"
#include "control/pod_slots.h"

using namespace leat::control;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto book = AliasBook::load(text)) {
    LEAT_CHECK(AliasBook::load(book->save())->save() == book->save(), "an alias book that its own text is not");
  }
  if (const auto slots = PodSlots::load(text)) {
    LEAT_CHECK(PodSlots::load(slots->save())->save() == slots->save(), "pod slots that their own text is not");
  }
  return 0;
}
