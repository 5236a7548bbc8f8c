// What anybody on the node may send the agent's API socket, which is open to all: frames of any bytes, in any number,
// on a connection that comes and goes while answers are late. Nothing may crash, no client has two requests answered at
// once, and an honest client is served afterwards.
#include <sys/socket.h>
#include <unistd.h>

#include <deque>
#include <string>

#include <fuzzer/FuzzedDataProvider.h>

#include "agent/api_server.h"
#include "common/check.h"
#include "common/message_socket.h"

namespace {

using leat::EventLoop;
using leat::MessageSocket;
using leat::UniqueFd;
using leat::agent::ApiServer;
namespace v1 = leat::v1;

constexpr std::chrono::milliseconds kNoWait{0};

class Agent {
 public:
  Agent() {
    auto opened = ApiServer::open(*loop_, path_, [this](const v1::ApiRequest& request, ApiServer::Reply reply) {
      LEAT_CHECK(request.IsInitialized(), "half a request");
      late_.push_back(std::move(reply));
    });
    LEAT_CHECK(opened.has_value(), "the API socket can't be opened");
    server_ = std::move(*opened);
  }
  ~Agent() { unlink(path_.c_str()); }

  UniqueFd connect() {
    turn();  // room in the backlog
    return std::move(MessageSocket::connect_to(path_).value());
  }
  // What has arrived is read, and who has left is forgotten.
  void turn() {
    for (int i = 0; i < 4; ++i) loop_->run_once(kNoWait);
  }
  void answer() {
    if (late_.empty()) return;
    late_.front()(v1::ApiReply());
    late_.pop_front();
  }
  [[nodiscard]] size_t unanswered() const { return late_.size(); }

 private:
  std::string path_ = "/tmp/leat-api-fuzz-" + std::to_string(getpid());
  std::unique_ptr<EventLoop> loop_ = std::move(EventLoop::make().value());
  std::deque<ApiServer::Reply> late_;
  std::unique_ptr<ApiServer> server_;
};

void serve_an_honest_client(Agent& agent) {
  MessageSocket client(agent.connect());
  v1::ApiRequest request;
  request.mutable_version();
  LEAT_CHECK(client.send(request).has_value(), "an honest request can't be sent");
  agent.turn();
  LEAT_CHECK(agent.unanswered() == 1, "an honest request is not heard");
  agent.answer();
  const auto reply = client.receive();
  LEAT_CHECK(reply.has_value() && reply->has_value(), "an honest client is not answered");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Agent agent;
  FuzzedDataProvider input(data, size);
  UniqueFd stranger = agent.connect();
  size_t unanswered_of_stranger = 0;
  while (input.remaining_bytes() > 0) {
    switch (input.ConsumeIntegralInRange(0, 7)) {
      case 0:
        stranger = agent.connect();
        unanswered_of_stranger = 0;  // those of the former one are nobody's
        break;
      case 1:
        agent.turn();
        break;
      case 2:
        agent.turn();
        while (agent.unanswered() > 0) agent.answer();
        unanswered_of_stranger = 0;
        break;
      default: {
        const std::string frame = input.ConsumeRandomLengthString(MessageSocket::kMaxFrameBytes + 16);
        static_cast<void>(send(stranger.get(), frame.data(), frame.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
        const size_t before = agent.unanswered();
        agent.turn();
        unanswered_of_stranger += agent.unanswered() - before;
        LEAT_CHECK(unanswered_of_stranger <= 1, "two requests of one client at once");
        break;
      }
    }
  }
  stranger.reset();
  agent.turn();
  while (agent.unanswered() > 0) agent.answer();
  serve_an_honest_client(agent);
  return 0;
}
