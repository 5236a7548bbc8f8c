// Logging for all of Leat's processes: one line an event on stderr, `time level what`.
// error = someone must act; warn = something degraded and went on; info = lifecycle; debug = a flow's decisions.
#pragma once

#include <string_view>

#include <fmt/format.h>

namespace leat::log {

enum class Level : uint8_t { kDebug, kInfo, kWarn, kError };

// Call once at the start of a process. `process` is printed in every line. Unknown level names are kInfo.
void init(std::string_view process, std::string_view level);
bool enabled(Level level);
void write(Level level, std::string_view line);  // thread-safe

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kDebug)) write(Level::kDebug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kInfo)) write(Level::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kWarn)) write(Level::kWarn, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kError)) write(Level::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace leat::log
