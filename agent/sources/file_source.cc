#include "agent/sources/file_source.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <utility>

#include "agent/sources/manifest_folder.h"
#include "common/log.h"

namespace leat::sources {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kVanishedGrace{30};
constexpr size_t kMaxFileBytes = 64u << 20;  // far above any manifest: a larger file is a mistake

constexpr uint32_t kFolderEvents =
    IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr uint32_t kParentEvents = IN_CREATE | IN_MOVED_TO | IN_ONLYDIR;

// A new name for content that is there already.
bool is_link(const fs::path& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 &&
         (S_ISLNK(status.st_mode) || (S_ISREG(status.st_mode) && status.st_nlink > 1));
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

Result<std::unique_ptr<FileSource>> FileSource::open(const std::string& folder, control::FileSet::Complete complete) {
  std::error_code error;
  fs::path root = fs::absolute(folder, error).lexically_normal();
  if (!root.has_filename()) root = root.parent_path();  // "/a/b/"
  if (!fs::is_directory(root, error)) {
    return fail(ErrorCode::kNotFound, "objects: {} is not a folder; make it, or name another one in the configuration",
                root.native());
  }
  UniqueFd inotify(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  UniqueFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  UniqueFd events(::epoll_create1(EPOLL_CLOEXEC));
  if (!inotify || !timer || !events) return fail_errno(errno, "objects: making what watches {}", root.native());
  epoll_event readable{.events = EPOLLIN};
  for (const int fd : {inotify.get(), timer.get()}) {
    if (::epoll_ctl(events.get(), EPOLL_CTL_ADD, fd, &readable) != 0) return fail_errno(errno, "epoll_ctl");
  }
  std::unique_ptr<FileSource> source(
      new FileSource(std::move(root), std::move(inotify), std::move(timer), std::move(events), std::move(complete)));
  source->parent_watch_ =
      ::inotify_add_watch(source->inotify_.get(), source->root_.parent_path().c_str(), kParentEvents);
  source->rescan();
  if (source->watches_.empty()) {
    return fail(ErrorCode::kSystem, "objects: {}: {}", source->root_.native(),
                source->folder_findings_.front().message());
  }
  return source;
}

void FileSource::watch(EventLoop& loop, Changed changed) {
  changed_ = std::move(changed);
  loop.watch(fd(), EPOLLIN, [this](uint32_t) {
    const auto seen = EventLoop::Clock::now();
    if (poll_changes()) changed_(seen);
  });
  changed_(EventLoop::Clock::now());
}

void FileSource::attachment_changed(const control::Name& pod) {
  if (files_.complete_again({control::Pod::kKind, pod}) && changed_) changed_(EventLoop::Clock::now());
}

bool FileSource::poll_changes() {
  Work work;
  read_events(work);
  bool changed = work.rescan && rescan();
  for (const fs::path& path : work.renamed) changed |= remove_file(path);
  for (const fs::path& path : work.files) changed |= read_file(path, /*even_if_stamped=*/true);
  return remove_vanished() || changed;
}

void FileSource::read_events(Work& work) {
  alignas(inotify_event) std::array<char, 64 * 1024> buffer;
  while (true) {
    const ssize_t length = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (length <= 0) return;  // EAGAIN: no more; nothing else can happen to an inotify descriptor
    for (const char* at = buffer.data(); at < buffer.data() + length;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      note_event(event->wd, event->mask, event->cookie, event->len > 0 ? event->name : "", work);
      at += sizeof(inotify_event) + event->len;
    }
  }
}

void FileSource::note_event(int watch, uint32_t mask, uint32_t cookie, const std::string& name, Work& work) {
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
  if (!is_manifest(path)) return;
  if ((mask & (IN_MOVED_FROM | IN_DELETE)) != 0) {
    note_vanished(path);
    if ((mask & IN_MOVED_FROM) != 0) work.moved_from.emplace(cookie, path);
  } else if ((mask & IN_CREATE) == 0 || is_link(path)) {  // any other new file is read when its writer closes it
    work.files.insert(path);
    if (const auto old_name = work.moved_from.find(cookie); old_name != work.moved_from.end()) {
      work.renamed.insert(old_name->second);
    }
  }
}

// Many an editor moves the old file away before it writes the new one, and a checkout deletes before it writes: what
// the file said stays in force for that moment.
void FileSource::note_vanished(const fs::path& path) {
  itimerspec once{};
  once.it_value.tv_nsec = std::chrono::nanoseconds(kVanishedGrace).count();
  ::timerfd_settime(timer_.get(), 0, &once, nullptr);
  vanished_.insert(path);
}

bool FileSource::remove_vanished() {
  uint64_t expirations = 0;
  if (::read(timer_.get(), &expirations, sizeof expirations) < 0) return false;  // EAGAIN: not yet
  bool changed = false;
  for (const fs::path& path : std::exchange(vanished_, {})) {
    // One that is there again is being written, or was read when that was done.
    if (::access(path.c_str(), F_OK) != 0) changed |= remove_file(path);
  }
  return changed;
}

bool FileSource::remove_file(const fs::path& path) {
  if (::access(path.c_str(), F_OK) == 0) return false;
  files_.remove(path);
  return stamps_.erase(path) > 0;
}

// Looks at every file, and reads those whose stamp is another one. Folders are watched before they are listed, so that
// no change falls between.
bool FileSource::rescan() {
  const size_t findings_before = std::exchange(folder_findings_, {}).size();
  std::error_code error;
  if (!fs::is_directory(root_, error)) {
    folder_findings_.push_back(finding_about(control::Severity::kError, root_,
                                             "the folder is gone; its objects stay in force until it is back"));
    return true;
  }
  watch_folder(root_);
  for (const fs::path& subfolder : list_manifests(root_).subfolders) watch_folder(subfolder);
  const ManifestFolder present = list_manifests(root_);
  folder_findings_.insert(folder_findings_.end(), present.findings.begin(), present.findings.end());

  bool changed = folder_findings_.size() != findings_before;
  std::set<fs::path> gone;
  for (const auto& [path, stamp] : stamps_) gone.insert(path);
  for (const Manifest& manifest : present.manifests) {
    changed |= read_file(manifest.path, false);
    gone.erase(manifest.path);
  }
  for (const fs::path& path : gone) note_vanished(path);
  return changed;
}

void FileSource::watch_folder(const fs::path& folder) {
  const int id = ::inotify_add_watch(inotify_.get(), folder.c_str(), kFolderEvents);
  if (id >= 0) {
    watches_[id] = folder;
    return;
  }
  folder_findings_.push_back(finding_about(
      control::Severity::kError, folder,
      fmt::format("can't be watched: {}; changes in it are not seen (is fs.inotify.max_user_watches used up?)",
                  errno_text(errno))));
}

// Puts the file's present content in force. True if anything may have changed. A stamp is good enough for a scan only:
// two writes within one tick of the clock leave the same one.
bool FileSource::read_file(const fs::path& path, bool even_if_stamped) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  const int open_error = errno;
  if (!file && (open_error == ENOENT || open_error == ENOTDIR)) {
    note_vanished(path);
    return false;
  }
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0) {
    files_.put_unreadable(
        path, finding_about(control::Severity::kError, path,
                            fmt::format("can't be read: {}; its objects stay in force", errno_text(open_error))));
    stamps_[path] = {};
    return true;
  }
  if (!S_ISREG(status.st_mode)) return false;
  const Stamp stamp{status.st_ino, status.st_size, status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
  if (const auto known = stamps_.find(path); known != stamps_.end() && known->second == stamp && !even_if_stamped)
    return false;
  stamps_[path] = stamp;

  const auto text = read_all(file.get(), static_cast<size_t>(status.st_size));
  if (!text) {
    files_.put_unreadable(
        path, finding_about(control::Severity::kError, path,
                            fmt::format("can't be read: {}; its objects stay in force", errno_text(text.error()))));
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
