// What the API server said last, kept over the agent's restarts, so that one that starts while the server is away knows
// what the one before it knew. A file a kind: first the objects of a list, a line each, then what changed since, as it
// came. It costs what a change costs, never what all objects cost, but for a file that is written anew when it has
// grown to twice its list.
//
// Half of the truth would be dangerous: an object that is missing looks as if it had been deleted, and a deleted
// PeerAuthentication lets plaintext in. So either every kind is there, whole and of this boot of the machine (after
// another one pods have other addresses), or there is nothing.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "common/unique_fd.h"
#include "control/value.h"

namespace leat::sources {

class LastSeen {
 public:
  using Time = std::chrono::system_clock::time_point;
  struct Kept {
    Time until;                                                               // the API server was heard of
    std::map<std::string, std::vector<control::Value>, std::less<>> objects;  // by kind; a kind that is absent has none
  };

  // `boot`: this boot of the machine. Makes the folder.
  static Result<LastSeen> open(std::string folder, std::string boot);

  // What was kept, if it is whole; else why not.
  [[nodiscard]] Result<Kept> load(const std::vector<std::string_view>& kinds) const;

  // What comes from the server. What can't be written is an error once, and then nothing is kept: better than a part.
  void begin_list(std::string_view kind);
  void put(std::string_view kind, const control::Value& document);
  void remove(std::string_view kind, const control::Value& document);
  void end_list(std::string_view kind);
  // All kinds are up to date now.
  void heard();

 private:
  struct File {
    UniqueFd fd;
    size_t listed = 0, added = 0;  // bytes
    bool listing = false;
  };

  LastSeen(std::string folder, std::string boot) : folder_(std::move(folder)), boot_(std::move(boot)) {}
  [[nodiscard]] std::string path(std::string_view kind) const;
  void add(std::string_view kind, const std::string& line);
  void compact(std::string_view kind);
  void give_up(const Error& error);
  [[nodiscard]] Result<std::vector<control::Value>> read(std::string_view kind) const;

  std::string folder_;
  std::string boot_;
  bool usable_ = true;
  std::map<std::string, File, std::less<>> files_;
};

}  // namespace leat::sources
