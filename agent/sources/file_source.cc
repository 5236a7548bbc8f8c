#include "agent/sources/file_source.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "common/log.h"

namespace leat::sources {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFileBytes = 64u << 20;  // far above any manifest: a larger file is a mistake

constexpr uint32_t kFolderEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr uint32_t kParentEvents = IN_CREATE | IN_MOVED_TO | IN_ONLYDIR;

bool is_manifest(const fs::path& path) {
  const std::string extension = path.extension();
  return !path.filename().native().starts_with('.') && (extension == ".yaml" || extension == ".yml" || extension == ".json");
}

// A new name for content that is there already. Any other new file is read when its writer closes it.
bool is_link(const fs::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && (S_ISLNK(status.st_mode) || (S_ISREG(status.st_mode) && status.st_nlink > 1));
}

v1::Finding finding_about(control::Severity severity, const fs::path& path, std::string message) {
  return control::make_finding(severity, {path, 0}, "", "", std::move(message));
}

std::string errno_text(int error) { return fmt::format("{} ({})", std::strerror(error), strerrorname_np(error)); }

// The whole content, or errno.
std::expected<std::string, int> read_all(int fd, size_t size) {
  if (size > kMaxFileBytes) return std::unexpected(EFBIG);
  std::string text;
  text.resize(size + 1);  // one more: a file that ends there takes one read less
  size_t used = 0;
  while (true) {
    const ssize_t got = ::read(fd, text.data() + used, text.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(errno);
    if (got == 0) break;
    used += static_cast<size_t>(got);
    if (used > kMaxFileBytes) return std::unexpected(EFBIG);
    if (used == text.size()) text.resize(2 * used);
  }
  text.resize(used);
  return text;
}

}  // namespace

Result<std::unique_ptr<FileSource>> FileSource::open(const std::string& folder) {
  UniqueFd inotify(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify) return fail_errno(errno, "inotify_init1");
  std::error_code error;
  fs::path root = fs::absolute(folder, error).lexically_normal();
  if (!root.has_filename()) root = root.parent_path();  // "/a/b/"
  if (!fs::is_directory(root, error)) {
    return fail(ErrorCode::kNotFound, "objects: {} is not a folder; make it, or name another one in the configuration", root.native());
  }
  auto source = std::unique_ptr<FileSource>(new FileSource(std::move(root), std::move(inotify)));
  source->parent_watch_ = ::inotify_add_watch(source->fd(), source->root_.parent_path().c_str(), kParentEvents);
  source->rescan();
  if (source->watches_.empty()) {
    return fail(ErrorCode::kSystem, "objects: {}: {}", source->root_.native(), source->folder_findings_.front().message());
  }
  return source;
}

bool FileSource::poll_changes() {
  alignas(inotify_event) std::array<char, 64 * 1024> buffer;
  Work work;
  while (true) {
    const ssize_t length = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (length <= 0) break;  // EAGAIN: no more; nothing else can happen to an inotify descriptor
    for (const char* at = buffer.data(); at < buffer.data() + length;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      note_event(event->wd, event->mask, event->len > 0 ? event->name : "", work);
      at += sizeof(inotify_event) + event->len;
    }
  }
  bool changed = work.rescan && rescan();
  for (const fs::path& path : work.files) changed |= read_file(path, /*even_if_stamped=*/true);
  return changed;
}

void FileSource::note_event(int watch, uint32_t mask, const std::string& name, Work& work) {
  if ((mask & IN_Q_OVERFLOW) != 0) {
    log::warn("objects: too many changes at once in {}; reading the folder again", root_.native());
    work.rescan = true;
    return;
  }
  if (watch == parent_watch_) {
    work.rescan |= name == root_.filename();
    return;
  }
  const auto folder = watches_.find(watch);
  if (folder == watches_.end()) return;
  if ((mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0) {
    // A folder that was moved away is still watched, under a name that is not its any more.
    if ((mask & IN_MOVE_SELF) != 0) ::inotify_rm_watch(inotify_.get(), watch);
    watches_.erase(folder);
    work.rescan = true;
    return;
  }
  // "..data" is the link that Kubernetes swings when it updates a mounted ConfigMap.
  if ((mask & IN_ISDIR) != 0 || name.starts_with("..")) {
    work.rescan = true;
    return;
  }
  const fs::path path = folder->second / name;
  const bool still_written = (mask & IN_CREATE) != 0 && !is_link(path);
  if (is_manifest(path) && !still_written) work.files.insert(path);
}

// Looks at every file, reads those whose stamp is another one. Folders that are new are watched before they are listed, so that no change
// falls between.
bool FileSource::rescan() {
  folder_findings_.clear();
  std::error_code error;
  if (!fs::is_directory(root_, error)) {
    folder_findings_.push_back(finding_about(control::Severity::kError, root_, "the folder is gone; its objects stay in force until it is back"));
    return true;
  }
  watch_folders();
  const std::vector<fs::path> present = list_files();
  bool changed = false;
  for (const fs::path& path : present) changed |= read_file(path, false);
  for (auto known = stamps_.begin(); known != stamps_.end();) {
    const auto next = std::next(known);
    if (!std::ranges::binary_search(present, known->first)) changed |= read_file(fs::path(known->first), false);
    known = next;
  }
  return changed;
}

void FileSource::watch_folders() {
  const auto watch = [this](const fs::path& folder) {
    const int id = ::inotify_add_watch(inotify_.get(), folder.c_str(), kFolderEvents);
    if (id >= 0) {
      watches_[id] = folder;
    } else {
      folder_findings_.push_back(finding_about(
          control::Severity::kError, folder,
          fmt::format("can't be watched: {}; changes in it are not seen (is fs.inotify.max_user_watches used up?)", errno_text(errno))));
    }
  };
  watch(root_);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root_, error)) {
    if (entry.is_directory(error) && !entry.path().filename().native().starts_with('.')) watch(entry.path());
  }
}

std::vector<fs::path> FileSource::list_files() {
  std::vector<fs::path> files;
  const auto list = [&](const fs::path& folder, auto&& on_folder) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      std::error_code entry_error;
      if (entry.path().filename().native().starts_with('.')) continue;
      if (entry.is_directory(entry_error)) {
        on_folder(entry.path());
      } else if (is_manifest(entry.path())) {
        files.push_back(entry.path());
      }
    }
    if (error) folder_findings_.push_back(finding_about(control::Severity::kError, folder, "can't be read: " + error.message()));
  };
  list(root_, [&](const fs::path& folder) {
    list(folder, [this](const fs::path& deeper) {
      folder_findings_.push_back(finding_about(control::Severity::kWarning, deeper, "not read: only one level of folders, named like namespaces, is"));
    });
  });
  std::ranges::sort(files);
  return files;
}

// Puts the file's present content in force. True if anything may have changed. A stamp is good enough for a scan only: two writes within
// one tick of the clock leave the same one.
bool FileSource::read_file(const fs::path& path, bool even_if_stamped) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  const int open_error = errno;
  if (!file && (open_error == ENOENT || open_error == ENOTDIR)) {
    files_.remove(path);
    return stamps_.erase(path) > 0;
  }
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) {
    files_.put_unreadable(path, finding_about(control::Severity::kError, path, fmt::format("can't be read: {}; its objects stay in force", errno_text(open_error))));
    stamps_[path] = {};
    return true;
  }
  if (!S_ISREG(status.st_mode)) return false;
  const Stamp stamp{status.st_ino, status.st_size, status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
  if (const auto known = stamps_.find(path); known != stamps_.end() && known->second == stamp && !even_if_stamped) return false;
  stamps_[path] = stamp;

  const auto text = read_all(file.get(), static_cast<size_t>(status.st_size));
  if (!text) {
    files_.put_unreadable(path, finding_about(control::Severity::kError, path, fmt::format("can't be read: {}; its objects stay in force", errno_text(text.error()))));
    return true;
  }
  const bool in_root = path.parent_path() == root_;
  files_.put(path, control::parse(*text, path, in_root ? "default" : path.parent_path().filename().string()));
  return true;
}

control::Findings FileSource::findings() const {
  control::Findings all = folder_findings_;
  const control::Findings in_files = files_.findings();
  all.insert(all.end(), in_files.begin(), in_files.end());
  control::sort_findings(all);
  return all;
}

}  // namespace leat::sources
