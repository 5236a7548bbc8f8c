#include "agent/cni/installer.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "agent/cni/limits.h"
#include "common/log.h"

namespace leat::agent {
namespace {

namespace fs = std::filesystem;

constexpr char kOwnFile[] = "00-leat.conflist";  // before every primary's
constexpr char kDropIn[] = "leat.conf";          // in a folder with the network's name
constexpr char kSaved[] = ".leat-saved";         // behind the name of a .conf that became a .conflist
constexpr char kTemporary[] = ".leat-new";       // no runtime reads such a name
constexpr char kWake[] = ".leat-wake";
constexpr mode_t kNewFileMode = 0600, kBinaryMode = 0755;
constexpr uint32_t kFolderEvents =
    IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail_errno(errno, "opening {}", path);
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (file.bad()) return fail_errno(EIO, "reading {}", path);
  return text;
}

// A whole file or none: beside its place, on the disk, then renamed. A rename from another folder would go unseen by
// container runtimes.
Result<void> write_beside(const std::string& path, const std::string& text, mode_t mode, const struct stat* like) {
  const std::string fresh = path + kTemporary;
  UniqueFd fd(open(fresh.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!fd) return fail_errno(errno, "opening {}", fresh);
  for (std::string_view rest = text; !rest.empty();) {
    const ssize_t size = write(fd.get(), rest.data(), rest.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return fail_errno(errno, "writing {}", fresh);
    rest.remove_prefix(static_cast<size_t>(size));
  }
  if (fchmod(fd.get(), mode) != 0) return fail_errno(errno, "chmod of {}", fresh);
  const bool foreign = like != nullptr && (like->st_uid != geteuid() || like->st_gid != getegid());
  if (foreign && fchown(fd.get(), like->st_uid, like->st_gid) != 0)
    log::warn("{} belongs to root now: its owner can't be kept ({})", path, strerrorname_np(errno));
  if (fsync(fd.get()) != 0) return fail_errno(errno, "writing {} to the disk", fresh);
  fd.reset();
  if (rename(fresh.c_str(), path.c_str()) != 0) return fail_errno(errno, "renaming {} to {}", fresh, path);
  return {};
}

Result<void> remove_file(const std::string& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return fail_errno(errno, "removing {}", path);
}

bool is_configuration(const std::string& name) {
  return !name.starts_with('.') && (name.ends_with(".conf") || name.ends_with(".conflist") || name.ends_with(".json"));
}

Result<std::vector<std::string>> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) names.push_back(entry.path().filename());
  if (error) return fail_errno(error.value(), "reading the folder {}", folder);
  std::ranges::sort(names);
  return names;
}

}  // namespace

// ---------------------------------------------------------------- the folder

// As libcni reads them: by name, lists by their ending.
Result<std::optional<ConfFolder::Network>> ConfFolder::first_network(std::vector<std::string>& invalid) const {
  LEAT_TRY(const auto names, names_in(folder_));
  for (const std::string& name : names) {
    if (!is_configuration(name) || name == kOwnFile) continue;
    auto text = read_file(path(name));
    auto read = text ? read_network_file(*text) : std::unexpected(text.error());
    if (read && read->is_list != name.ends_with(".conflist"))
      read = fail(ErrorCode::kInvalid, "its ending says {}",
                  read->is_list ? "one plugin, it is a list" : "a list, it is one plugin");
    if (read) return Network{.file = name, .text = std::move(*text), .read = std::move(*read)};
    invalid.push_back(fmt::format("{}: {}", path(name), read.error().message));
  }
  return std::nullopt;
}

Result<ConfFolder::Done> ConfFolder::put_in() const {
  std::vector<std::string> invalid;
  LEAT_TRY(const auto network, first_network(invalid));
  Result<Done> done = Done{};
  if (network) {
    if (mode_ == Cni::Install::kAppend) done = append_to(*network);
    if (mode_ == Cni::Install::kOwnFile) done = own_file(*network);
    if (mode_ == Cni::Install::kDropIn) done = drop_in_for(*network);
  }
  if (done) done->invalid = std::move(invalid);
  return done;
}

// One plugin's configuration becomes a list beside it, and steps aside: by name it would still come first.
Result<ConfFolder::Done> ConfFolder::append_to(const Network& network) const {
  if (network.read.is_list) {
    LEAT_TRY(const std::string text, with_entry(network.text, entry_));
    LEAT_TRY(const bool changed, replace(network.file, text, network.file));
    return Done{.file = network.file, .changed = changed, .invalid = {}};
  }
  LEAT_TRY(const std::string text, list_of(network.text, entry_));
  const std::string list = fs::path(network.file).stem().string() + ".conflist";
  LEAT_TRY_VOID(replace(list, text, network.file));
  const std::string saved = path(network.file) + kSaved;
  if (rename(path(network.file).c_str(), saved.c_str()) != 0)
    return fail_errno(errno, "renaming {} to {}", path(network.file), saved);
  return Done{.file = list, .changed = true, .invalid = {}};
}

Result<ConfFolder::Done> ConfFolder::own_file(const Network& network) const {
  LEAT_TRY(const std::string text,
           network.read.is_list ? with_entry(network.text, entry_) : list_of(network.text, entry_));
  LEAT_TRY(const bool changed, replace(kOwnFile, text, network.file));
  return Done{.file = kOwnFile, .changed = changed, .invalid = {}};
}

Result<ConfFolder::Done> ConfFolder::drop_in_for(const Network& network) const {
  if (!network.read.is_list)
    return fail(ErrorCode::kUnsupported,
                "{} is no list: drop-in files are added to lists only; set cni.install to append", path(network.file));
  const bool safe = network.read.name.find('/') == std::string::npos && !network.read.name.starts_with('.');
  if (!safe) return fail(ErrorCode::kInvalid, "{}: the network's name is no name of a folder", path(network.file));
  std::error_code error;
  fs::create_directories(path(network.read.name), error);
  if (error) return fail_errno(error.value(), "making {}", path(network.read.name));
  const std::string file = network.read.name + "/" + kDropIn;
  LEAT_TRY(const bool changed, replace(file, drop_in(network.read, entry_), network.file));
  if (changed) LEAT_TRY_VOID(wake_runtime());  // it does not watch the folders in the folder
  return Done{.file = file, .changed = changed, .invalid = {}};
}

// With the mode and owner of `like`. False: the text is there already.
Result<bool> ConfFolder::replace(const std::string& file, const std::string& text, const std::string& like) const {
  if (const auto present = read_file(path(file)); present && *present == text) return false;
  struct stat status{};
  const bool known = stat(path(like).c_str(), &status) == 0;
  LEAT_TRY_VOID(
      write_beside(path(file), text, known ? status.st_mode & 07777 : kNewFileMode, known ? &status : nullptr));
  return true;
}

// A removal makes every runtime read the folder again.
Result<void> ConfFolder::wake_runtime() const {
  LEAT_TRY_VOID(write_beside(path(kWake), "", kNewFileMode, nullptr));
  return remove_file(path(kWake));
}

Result<void> ConfFolder::take_out() const {
  LEAT_TRY_VOID(remove_file(path(kOwnFile)));
  LEAT_TRY_VOID(remove_drop_ins());
  LEAT_TRY(const auto names, names_in(folder_));
  for (const std::string& name : names) {
    if (name.ends_with(kTemporary)) LEAT_TRY_VOID(remove_file(path(name)));
    if (is_configuration(name) && name.ends_with(".conflist")) LEAT_TRY_VOID(take_out_of(name));
  }
  return {};
}

Result<void> ConfFolder::take_out_of(const std::string& file) const {
  LEAT_TRY(const std::string text, read_file(path(file)));
  if (!text.contains(kPluginType)) return {};
  // What was one plugin's configuration becomes that again, if it is still what was made of it.
  const std::string single = fs::path(file).stem().string() + ".conf";
  if (const auto saved = read_file(path(single) + kSaved)) {
    const auto made = list_of(*saved, entry_);
    const auto bare = made ? without_entry(*made) : made;
    const auto now = without_entry(text);
    if (bare && now && *bare == *now && rename((path(single) + kSaved).c_str(), path(single).c_str()) == 0)
      return remove_file(path(file));
  }
  const auto without = without_entry(text);
  if (!without) return {};  // not a list that a runtime could read: our entry in it has no effect
  LEAT_TRY_VOID(replace(file, *without, file));
  return {};
}

Result<void> ConfFolder::remove_drop_ins() const {
  LEAT_TRY(const auto names, names_in(folder_));
  bool removed = false;
  for (const std::string& name : names) {
    const std::string file = path(name) + "/" + kDropIn;
    if (access(file.c_str(), F_OK) != 0) continue;
    LEAT_TRY_VOID(remove_file(file));
    rmdir(path(name).c_str());  // stays where others have files in it
    removed = true;
  }
  return removed ? wake_runtime() : Result<void>();
}

// ---------------------------------------------------------------- the binary

Result<bool> install_binary(const std::string& binary, const std::string& folder) {
  LEAT_TRY(const std::string program, read_file(binary));
  const std::string target = folder + "/" + kPluginType;
  struct stat status{};
  const auto present = read_file(target);
  const bool same =
      present && *present == program && stat(target.c_str(), &status) == 0 && (status.st_mode & 07777) == kBinaryMode;
  if (same) return false;
  LEAT_TRY_VOID(write_beside(target, program, kBinaryMode, nullptr));
  return true;
}

Result<void> remove_binary(const Cni& config) {
  if (config.bin.empty()) return {};
  const std::string target = config.bin + "/" + kPluginType;
  LEAT_TRY_VOID(remove_file(target + kTemporary));
  return remove_file(target);
}

Result<void> take_out_of_conf(const Cni& config) {
  if (config.conf.empty() || access(config.conf.c_str(), F_OK) != 0) return {};
  return ConfFolder(config.conf, config.install, {}).take_out();
}

// ---------------------------------------------------------------- keeping it there

Result<std::unique_ptr<Installer>> Installer::open(EventLoop& loop, const Cni& config, const std::string& state) {
  UniqueFd events(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!events) return fail_errno(errno, "watching {}", config.conf);
  std::unique_ptr<Installer> installer(new Installer(loop, config, state, std::move(events)));
  installer->look();
  return installer;
}

Installer::Installer(EventLoop& loop, const Cni& config, const std::string& state, UniqueFd events)
    : loop_(loop),
      config_(config),
      binary_(config.binary),
      folder_(config.conf, config.install,
              {.state = config.host_state.empty() ? state : config.host_state,
               .own_namespace = config.own_namespace,
               .wait_ms = static_cast<uint64_t>(config.wait.count())}),
      events_(std::move(events)) {
  if (binary_.empty()) {
    std::error_code error;
    binary_ = (fs::read_symlink("/proc/self/exe", error).parent_path() / kPluginType).string();
  }
  loop_.watch(events_.get(), EPOLLIN, [this](uint32_t) { on_events(); });
}

Installer::~Installer() {
  loop_.forget(events_.get());
  loop_.cancel(timer_);
}

// Again and again: a folder that was removed and made anew is another one.
void Installer::watch_folder() {
  const int watch = inotify_add_watch(events_.get(), config_.conf.c_str(), kFolderEvents);
  if (watch_ >= 0 && watch != watch_) inotify_rm_watch(events_.get(), watch_);
  watch_ = watch;
}

void Installer::on_events() {
  alignas(inotify_event) std::array<char, 16 * 1024> buffer;
  while (read(events_.get(), buffer.data(), buffer.size()) > 0) {
  }
  look_after(limits::kCniSettle);
}

void Installer::look_after(std::chrono::milliseconds delay) {
  const bool soon = delay < limits::kCniLook;
  if (timer_ != 0 && timer_is_soon_ && soon) return;
  loop_.cancel(timer_);
  timer_is_soon_ = soon;
  timer_ = loop_.after(delay, [this] {
    timer_ = 0;
    look();
  });
}

void Installer::look() {
  watch_folder();  // before the folder is read, so that no change falls between
  look_after(limits::kCniLook);
  if (is_fought_over(EventLoop::Clock::now())) return;
  // The binary first: an entry without it fails every pod of the node.
  if (const auto copied = install_binary(binary_, config_.bin); !copied) {
    return note(std::unexpected(copied.error()));
  } else if (*copied) {
    log::info("{}/{} is installed", config_.bin, kPluginType);
  }
  note(folder_.put_in());
}

// Two that put the file as they want it would do so for ever. We give way for a while, and say so.
bool Installer::is_fought_over(EventLoop::Clock::time_point now) {
  std::erase_if(lost_, [&](const auto& time) { return now - time > limits::kCniFightTime; });
  return lost_.size() >= limits::kCniFightsMax;
}

void Installer::note(const Result<ConfFolder::Done>& done) {
  Status now{.repairs = status_.repairs};
  if (!done) {
    now.problem = done.error().message;
  } else if (done->file.empty()) {
    now.problem = fmt::format("no network is configured in {} yet; the entry is added when one is", config_.conf);
  } else {
    now.file = config_.conf + "/" + done->file;
    if (done->changed && was_in_) {
      ++now.repairs;
      lost_.push_back(EventLoop::Clock::now());
    }
    if (!done->invalid.empty())
      now.problem = fmt::format("{}; a runtime that reads it first has no network", done->invalid.front());
    if (is_fought_over(EventLoop::Clock::now()))
      now.problem = fmt::format(
          "something else takes leat-cni out of {} again and again ({} times within {} s): leat-agent gives way for a "
          "while. Stop the other installer, or set cni.install to own-file",
          now.file, lost_.size(), std::chrono::duration_cast<std::chrono::seconds>(limits::kCniFightTime).count());
  }
  const bool changed = done && done->changed;
  if (changed) log::info("leat-cni stands in {}{}", now.file, was_in_ ? " again: somebody had taken it out" : "");
  was_in_ |= done && !done->file.empty();
  if (now.problem != told_ && !now.problem.empty()) log::warn("cni: {}", now.problem);
  told_ = now.problem;
  status_ = std::move(now);
}

}  // namespace leat::agent
