#include "agent/sources/kubernetes/last_seen.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "agent/sources/kubernetes/api_json.h"
#include "common/log.h"

namespace leat::sources {
namespace {

using control::Value;

// The lines of a file: its head, `+DOCUMENT` of what was put, `-DOCUMENT` of what was removed, and one that ends the
// list.
constexpr std::string_view kFormat = "leat last-seen 1 ", kListEnds = "=";
constexpr char kPut = '+', kRemoved = '-';
constexpr size_t kSmall = 1 << 20;  // bytes; a file below it is not worth writing anew
constexpr char kHeard[] = "heard";

using Key = std::pair<std::string, std::string>;

Key key_of(const Value& document) {
  const Value* metadata = document.find("metadata");
  const auto text = [metadata](std::string_view field) {
    const Value* value = metadata == nullptr ? nullptr : metadata->find(field);
    return value == nullptr ? std::string() : value->text;
  };
  return {text("namespace"), text("name")};
}

Result<void> write_all(int fd, std::string_view text, const std::string& file) {
  while (!text.empty()) {
    const ssize_t size = ::write(fd, text.data(), text.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return fail_errno(errno, "writing {}", file);
    text.remove_prefix(static_cast<size_t>(size));
  }
  return {};
}

}  // namespace

Result<LastSeen> LastSeen::open(std::string folder, std::string boot) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return fail_errno(error.value(), "making {}", folder);
  if (chmod(folder.c_str(), 0700) < 0) return fail_errno(errno, "chmod of {}", folder);
  return LastSeen(std::move(folder), std::move(boot));
}

std::string LastSeen::path(std::string_view kind) const { return fmt::format("{}/{}", folder_, kind); }

// ---------------------------------------------------------------- reading

Result<LastSeen::Kept> LastSeen::load(const std::vector<std::string_view>& kinds) const {
  struct stat heard{};
  if (stat(path(kHeard).c_str(), &heard) < 0)
    return fail(ErrorCode::kNotFound, "no agent before this one has kept any");
  Kept kept{.until = std::chrono::system_clock::from_time_t(heard.st_mtime), .objects = {}};
  for (const std::string_view kind : kinds) {
    LEAT_TRY(auto documents, read(kind));
    kept.objects.emplace(kind, std::move(documents));
  }
  return kept;
}

Result<std::vector<Value>> LastSeen::read(std::string_view kind) const {
  const std::string file = path(kind);
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return fail(ErrorCode::kNotFound, "{} is not there", file);
  const std::string text(std::istreambuf_iterator<char>(stream), {});

  std::map<Key, Value> documents;
  bool first = true, ended = false;
  for (size_t begin = 0, end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string_view line(text.data() + begin, end - begin);
    if (std::exchange(first, false)) {
      if (line != fmt::format("{}{}", kFormat, boot_)) return fail(ErrorCode::kNotFound, "{} is of another boot", file);
    } else if (line == kListEnds) {
      ended = true;
    } else if (line.starts_with(kPut) || line.starts_with(kRemoved)) {
      LEAT_TRY(Value document, read_document(line.substr(1)));
      Key key = key_of(document);
      if (line.front() == kRemoved) {
        documents.erase(key);
      } else {
        documents.insert_or_assign(std::move(key), std::move(document));
      }
    } else {
      return fail(ErrorCode::kInvalid, "{} is damaged", file);
    }
  }
  if (!ended) return fail(ErrorCode::kInvalid, "{} ends in the middle", file);
  std::vector<Value> found;
  found.reserve(documents.size());
  for (auto& [key, document] : documents) found.push_back(std::move(document));
  return found;
}

// ---------------------------------------------------------------- writing

void LastSeen::begin_list(std::string_view kind) {
  if (!usable_) return;
  const std::string fresh = path(kind) + ".new";
  File file{.fd = UniqueFd(::open(fresh.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_APPEND | O_CLOEXEC, 0600)),
            .listing = true};
  if (!file.fd) {
    return give_up(fail_errno(errno, "opening {}", fresh).error());
  }
  files_.insert_or_assign(std::string(kind), std::move(file));
  add(kind, fmt::format("{}{}\n", kFormat, boot_));
}

void LastSeen::put(std::string_view kind, const Value& document) { add(kind, kPut + to_json(document) + '\n'); }

void LastSeen::remove(std::string_view kind, const Value& document) { add(kind, kRemoved + to_json(document) + '\n'); }

void LastSeen::end_list(std::string_view kind) {
  add(kind, fmt::format("{}\n", kListEnds));
  const auto found = files_.find(kind);
  if (!usable_ || found == files_.end()) return;
  found->second.listing = false;
  found->second.listed = std::exchange(found->second.added, 0);
  const std::string whole = path(kind);
  if (rename((whole + ".new").c_str(), whole.c_str()) < 0) give_up(fail_errno(errno, "renaming {}.new", whole).error());
}

void LastSeen::add(std::string_view kind, const std::string& line) {
  const auto found = files_.find(kind);
  if (!usable_ || found == files_.end()) return;
  File& file = found->second;
  if (const auto written = write_all(file.fd.get(), line, path(kind)); !written) return give_up(written.error());
  file.added += line.size();
  if (!file.listing && file.added > std::max(kSmall, file.listed)) compact(kind);
}

void LastSeen::compact(std::string_view kind) {
  const auto documents = read(kind);
  if (!documents) return give_up(documents.error());
  begin_list(kind);
  for (const Value& document : *documents) put(kind, document);
  end_list(kind);
}

void LastSeen::heard() {
  if (!usable_) return;
  const UniqueFd fd(::open(path(kHeard).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  if (!fd || futimens(fd.get(), nullptr) < 0) give_up(fail_errno(errno, "touching {}", path(kHeard)).error());
}

void LastSeen::give_up(const Error& error) {
  usable_ = false;
  files_.clear();
  unlink(path(kHeard).c_str());
  log::error("an agent that starts while the API server is away will know of no objects: {}", error.message);
}

}  // namespace leat::sources
