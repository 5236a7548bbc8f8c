// A folder of Kubernetes YAML and JSON files (manifest_folder.h), watched. An edit counts when the file is closed or
// renamed into place; only changed files are read again.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/sources/source.h"
#include "common/result.h"
#include "common/unique_fd.h"
#include "control/file_set.h"

namespace leat::sources {

class FileSource : public Source {
 public:
  // Reads all files. Fails if the folder can't be read or watched.
  static Result<std::unique_ptr<FileSource>> open(const std::string& folder, control::FileSet::Complete complete = {});

  void watch(EventLoop& loop, Changed changed) override;
  void attachment_changed(const control::Name& pod) override;
  // Every agent reads all pods.
  void publish(const std::vector<const v1::Workload*>&) override {}
  void put_own(control::Object object) override { files_.put_own(std::move(object)); }
  void remove_own(const control::ObjectKey& key) override { files_.remove_own(key); }

  // Readable (epoll) when poll_changes() has something to do.
  [[nodiscard]] int fd() const { return events_.get(); }
  // Reads what changed since the last call; true if something did. Never blocks.
  bool poll_changes();

  [[nodiscard]] const control::ObjectSet& objects() const override { return files_.objects(); }
  [[nodiscard]] control::Findings findings() const override;

 private:
  // What stat() says of a file: another stamp is another content.
  struct Stamp {
    uint64_t inode = 0;
    int64_t size = 0;
    int64_t modified_ns = 0;
    bool operator==(const Stamp&) const = default;
  };
  struct Work {  // what a batch of events asks for
    std::set<std::filesystem::path> files;
    std::map<uint32_t, std::filesystem::path> moved_from;  // by the event's cookie
    std::set<std::filesystem::path> renamed;               // within the folder: gone for sure
    bool rescan = false;
  };

  FileSource(std::filesystem::path folder, UniqueFd inotify, UniqueFd timer, UniqueFd events,
             control::FileSet::Complete complete)
      : root_(std::move(folder)),
        inotify_(std::move(inotify)),
        timer_(std::move(timer)),
        events_(std::move(events)),
        files_(std::move(complete)) {}
  void read_events(Work& work);
  void note_event(int watch, uint32_t mask, uint32_t cookie, const std::string& name, Work& work);
  bool rescan();
  void note_vanished(const std::filesystem::path& path);
  bool remove_vanished();
  bool remove_file(const std::filesystem::path& path);
  void watch_folder(const std::filesystem::path& folder);
  bool read_file(const std::filesystem::path& path, bool even_if_stamped);

  std::filesystem::path root_;
  UniqueFd inotify_;
  UniqueFd timer_;                                 // runs while there are vanished files
  UniqueFd events_;                                // epoll of the two
  int parent_watch_ = -1;                          // to see the folder come back after it was replaced
  std::map<int, std::filesystem::path> watches_;   // of the folder and its subfolders
  std::map<std::filesystem::path, Stamp> stamps_;  // of the files that were read
  Changed changed_;
  std::set<std::filesystem::path> vanished_;  // still in force, until it is sure that they do not come back at once
  control::Findings folder_findings_;         // about folders, as of the last scan
  control::FileSet files_;
};

}  // namespace leat::sources
