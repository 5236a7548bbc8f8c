// The agent's side of proxy.sock: the node's proxies, of which one is armed and the others drain. It decides who is
// armed (lease.h), brings every proxy the mesh model and the armed one its listeners, asks them questions, and passes
// on what they ask for (Tools::request).
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "agent/capture/capture.h"
#include "agent/lease.h"
#include "agent/peer_process.h"
#include "agent/proxy_session.h"
#include "common/message_connection.h"
#include "common/result.h"
#include "leat.pb.h"

namespace leat::agent {

using Clock = EventLoop::Clock;

// A proxy that is connected and has said Hello.
struct ProxyInfo {
  std::string instance;
  std::string version;
  std::string backend;
  uint32_t workers = 0;
  pid_t pid = 0;
  bool armed = false;
  uint64_t acknowledged_generation = 0;
};

class ProxyChannel {
 public:
  // What the channel needs of the agent.
  struct Tools {
    std::function<v1::Mesh()> mesh;
    std::function<std::vector<std::string>()> roots;  // DER
    std::function<std::vector<capture::Listener>()> listeners;
    std::function<Result<void>(const v1::ListenerId&, UniqueFd)> adopt_listener;
    std::function<void(const v1::ListenerId&)> listener_died;  // make a new one, then call send_listeners()
    // SocketRequest, SignRequest, SourceIdRequest, SourceIdRelease, as ProxySession checked them; answer with send().
    std::function<void(ConnectionId, const std::string& instance, const v1::ToAgent&)> request;
    std::function<bool(const std::string& instance)> certified;  // it has all certificates of this node
    std::function<void(uint64_t generation)> acknowledged;       // the armed proxy acts on it
    // Called before the proxy hears of it: remember it for the next life, make the listeners that nobody holds.
    std::function<void(uint64_t epoch, const std::string& instance, pid_t, const PeerProcess::Key&)> granted;
    std::function<void()> replace_listeners;  // the present ones end, in whosever hands they are
    std::function<void(bool armed)> armed_changed;
    std::function<void(const std::string& instance)> instance_came;  // with its Hello, also when it connects anew
    std::function<void(const std::string& instance)> instance_gone;  // its process has exited
  };
  // Replies of all proxies to one question, and the instances that did not answer in time.
  struct Answers {
    std::vector<std::pair<std::string, v1::ToAgent>> replies;  // by instance; a FlowReply may come in parts
    std::vector<std::string> silent;
  };
  struct Counters {
    uint64_t connections = 0, foreign_users = 0, violations = 0, grants = 0, ended = 0;
  };

  // Listens at `path`, owned by `proxy_user`, mode 0600: no other user is let in. `former`: the process that holds the
  // lease (LeaseBook::kFormerConnection) as this agent starts.
  static Result<std::unique_ptr<ProxyChannel>> open(EventLoop& loop, const std::string& path, uid_t proxy_user,
                                                    std::string node, LeaseBook lease,
                                                    std::optional<PeerProcess> former, Tools tools);
  ~ProxyChannel();

  // The model is now `generation`: `change` leads from the generation before to it.
  void publish(uint64_t generation, const v1::MeshChange* change);
  void publish_roots();
  // Brings the armed proxy what it lacks of Tools::listeners(), and takes back what is gone.
  void send_listeners();
  // It may have all its certificates now, and be ready to take over.
  void certificate_sent(ConnectionId connection);
  // Nothing happens where the connection is gone.
  void send(ConnectionId connection, const v1::ToProxy& message, std::vector<UniqueFd> fds = {});
  // Asks every proxy but `except` (`question` is a FlowQuery or StatsQuery; its request number is set here). `done` is
  // called once, within kQueryDeadline; at once where there is no proxy.
  using QuestionFor = std::function<v1::ToProxy(const std::string& instance, uint64_t request)>;
  void ask(const QuestionFor& question, std::function<void(Answers)> done, const std::string& except = {});

  [[nodiscard]] bool armed() const { return lease_.armed().has_value(); }
  [[nodiscard]] uint64_t lease_epoch() const { return lease_.epoch(); }
  [[nodiscard]] std::vector<ProxyInfo> proxies() const;
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  using ListenerKey = std::tuple<std::string, v1::ListenerRole, bool, uint64_t>;
  struct Proxy {
    Proxy(ConnectionId number, PeerProcess::Key key, pid_t process_number, Clock::time_point now)
        : id(number), process(key), pid(process_number), session(now) {}
    ConnectionId id;
    PeerProcess::Key process;
    pid_t pid;
    ProxySession session;
    std::unique_ptr<MessageConnection> connection;
    v1::Hello hello;      // without its listeners
    bool leased = false;  // LeaseBook has heard of it
    uint64_t sent_generation = 0;
    uint64_t acknowledged_generation = 0;
    std::set<ListenerKey> listeners;  // held by the proxy
  };
  struct Process {
    PeerProcess peer;
    std::set<std::string> instances;
    std::vector<ConnectionId> connections;
  };
  struct Question {
    std::map<ConnectionId, std::string> waiting;
    Answers answers;
    std::function<void(Answers)> done;
    EventLoop::TimerId timer = 0;
  };

  ProxyChannel(EventLoop& loop, UniqueFd listener, uid_t proxy_user, std::string node, LeaseBook lease,
               std::optional<PeerProcess> former, Tools tools);

  void accept_all();
  void add(UniqueFd socket);
  void watch_process(PeerProcess peer);
  Process* process_behind(ConnectionId id);
  void on_message(Proxy& proxy, ReceivedMessage received);
  void on_hello(Proxy& proxy, v1::Hello& hello, std::vector<UniqueFd> fds);
  void on_listeners(Proxy& proxy, const google::protobuf::RepeatedPtrField<v1::ListenerId>& ids,
                    std::vector<UniqueFd> fds);
  void on_acknowledged(Proxy& proxy, uint64_t generation);
  void on_reply(Proxy& proxy, uint64_t request, bool last, v1::ToAgent message);
  void on_closed(ConnectionId id, const Error& reason);
  void on_exit(const PeerProcess::Key& key);
  void perform(const LeaseBook::Actions& actions);
  void grant(ConnectionId id, uint64_t epoch);
  void end_process(ConnectionId id);
  void rearm_lease_timer();
  void send_snapshot(Proxy& proxy);
  void send_listeners(Proxy& proxy);
  void finish_question(uint64_t request);

  EventLoop& loop_;
  UniqueFd listener_;
  uid_t proxy_user_;
  std::string node_;
  LeaseBook lease_;
  Tools tools_;
  Counters counters_;
  uint64_t generation_ = 0;
  bool was_armed_ = false;
  ConnectionId next_id_ = 1;
  uint64_t next_request_ = 1;
  EventLoop::TimerId lease_timer_ = 0;
  std::map<ConnectionId, std::unique_ptr<Proxy>> proxies_;
  std::map<PeerProcess::Key, Process> processes_;  // outlive their connections: a lease ends with the process
  std::map<uint64_t, Question> questions_;
};

}  // namespace leat::agent
