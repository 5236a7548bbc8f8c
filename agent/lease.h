// Who may have its accepts armed: at most one proxy of the node. Two armed io_uring accepts on one listener stall
// connections and lose wake-ups (measured), so a new proxy is armed only when the old one has said that it is not, or
// its process is gone.
//
//   a proxy without a lease comes       it waits; the newest that waits is the candidate
//   nobody holds the lease              the candidate is granted the next epoch at once
//   the candidate came after the holder, and is ready (model, certificates)   the holder is asked to disarm
//   the holder confirms, or has exited  nobody holds the lease
//   the holder does neither in time     its process is ended, which then is an exit
//   a holder's connection is lost       while its process lives it keeps the lease (it may still be armed), unless it
//   is contested too long
//
// No I/O and no clock: events and the time come in, actions come out. Connections are named by numbers that are never
// used twice.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace leat::agent {

using ConnectionId = uint64_t;

struct LeaseAction {
  enum class Kind : uint8_t {
    kGrant,   // send Lease{epoch} and the listeners: armed from here on
    kRevoke,  // send Revoke{epoch}
    kEnd,     // kill the process behind `connection` (also one whose connection is lost)
  };
  Kind kind;
  ConnectionId connection;
  uint64_t epoch;
  bool operator==(const LeaseAction&) const = default;
};

class LeaseBook {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Actions = std::vector<LeaseAction>;

  // Names the process of the holder that the agent's former life left, until that has come back.
  static constexpr ConnectionId kFormerConnection = 0;

  // `epoch`: what this node's proxies were granted up to now. `holder`: the instance that had it when the agent last
  // ran, if its process may still live: it has until kAdoptDeadline to come back before another is let in, and is ended
  // then if it is `within_reach` (exited(kFormerConnection) says when it is gone).
  LeaseBook(uint64_t epoch, std::string holder, bool within_reach, Time now);

  // A proxy has said Hello; `epoch` is the highest it was granted, 0 for none.
  Actions hello(ConnectionId connection, const std::string& instance, uint64_t epoch, Time now);
  Actions ready(ConnectionId connection, Time now);  // it has model and certificates: taking over costs no connection
  Actions revoked(ConnectionId connection, uint64_t epoch, Time now);
  Actions disconnected(ConnectionId connection, Time now);  // its process may live
  Actions exited(ConnectionId connection,
                 Time now);  // its process is gone; comes after disconnected(), or instead of it
  Actions tick(Time now);    // call at next_deadline()
  [[nodiscard]] std::optional<Time> next_deadline() const;

  [[nodiscard]] uint64_t epoch() const { return epoch_; }
  // The connection that is armed now, if it is connected.
  [[nodiscard]] std::optional<ConnectionId> armed() const;
  [[nodiscard]] const std::string& holder_instance() const { return holder_.instance; }

 private:
  struct Holder {
    std::string instance;   // empty: nobody
    ConnectionId rank = 0;  // of the connection on which it first came: a candidate of a lower one only stands by
    std::optional<ConnectionId> connection;       // connected now
    std::optional<ConnectionId> last_connection;  // names the process where the connection is lost
    bool revoking = false;
    std::optional<Time> deadline;  // of a confirmation, or of its return
  };
  struct Candidate {
    std::string instance;
    std::optional<Time> warm_up;  // none: ready
  };

  Actions advance(Time now);

  uint64_t epoch_;
  Holder holder_;
  std::map<ConnectionId, Candidate> waiting_;  // the last one is the candidate
};

}  // namespace leat::agent
