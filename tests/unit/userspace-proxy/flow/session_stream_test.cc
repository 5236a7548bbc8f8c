// A connection and the streams that are attached to it, without a peer.
#include "userspace-proxy/flow/session_stream.h"

#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include "userspace-proxy/hbone/session.h"

namespace leat::proxy::test {
namespace {

class AStream : public SessionStream {
 public:
  AStream(SessionConnection& connection, http2::Stream& stream) : SessionStream(connection, &stream) {}
  using SessionStream::leave;
};

class AConnection : public SessionConnection {
 public:
  AConnection(ring::Loop& loop, const int& streams_that_leave, bool& went_too_early)
      : SessionConnection(loop),
        session_(hbone::Session::Role::kClient, loop.buffers(), counters_, loop.now()),
        streams_that_leave_(streams_that_leave),
        went_too_early_(went_too_early) {}
  ~AConnection() override { went_too_early_ = streams_that_leave_ > 0; }
  using SessionConnection::outlive_streams;
  hbone::Stream& open() { return session_.open({.authority = {*IpAddress::parse("10.0.0.1"), 80}}); }

 private:
  void left() override {}
  http2::Session& layer() override { return session_; }

  hbone::Counters counters_;
  hbone::Session session_;
  const int& streams_that_leave_;
  bool& went_too_early_;
};

ring::Detached read_until_reset(std::unique_ptr<AStream> stream, int& streams_that_leave) {
  CHECK_FALSE(co_await stream->recv());
  ++streams_that_leave;
  stream.reset();
  --streams_that_leave;
}

ring::Detached run(std::unique_ptr<AConnection> connection, ring::Loop& loop) {
  co_await connection->outlive_streams();
  connection.reset();
  loop.stop();
}

}  // namespace

TEST_CASE("a connection that is over goes when its last stream is through with it, not in the midst of that") {
  auto loop = ring::Loop::create({.backend = ring::BackendKind::kEpoll});
  REQUIRE(loop);
  int streams_that_leave = 0;
  bool went_too_early = true;
  auto connection = std::make_unique<AConnection>(**loop, streams_that_leave, went_too_early);
  std::vector<AStream*> streams;
  for (int i = 0; i < 2; ++i) {
    auto stream = std::make_unique<AStream>(*connection, connection->open());
    streams.push_back(stream.get());
    read_until_reset(std::move(stream), streams_that_leave);
  }
  for (AStream* stream : streams) stream->leave();
  run(std::move(connection), **loop);
  (*loop)->run();
  CHECK_FALSE(went_too_early);
}

}  // namespace leat::proxy::test
