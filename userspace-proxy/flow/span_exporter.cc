#include "userspace-proxy/flow/span_exporter.h"

#include <charconv>

#include <fmt/format.h>

#include "common/gzip.h"
#include "common/log.h"
#include "userspace-proxy/flow/connect.h"
#include "userspace-proxy/flow/when_blocks.h"
#include "userspace-proxy/flow/worker.h"
#include "userspace-proxy/http1/reader.h"

namespace leat::proxy {
namespace {

// All of `text`, or nothing and false: the pool is dry.
bool append_text(ring::Chain& out, ring::BufferPool& pool, std::string_view text) {
  ring::Chain made;
  while (!text.empty()) {
    ring::Buffer block = pool.allocate();
    if (!block.has_block()) return false;
    const size_t size = std::min<size_t>(text.size(), block.tail_room());
    std::memcpy(block.data(), text.data(), size);
    block.grow(static_cast<uint32_t>(size));
    text.remove_prefix(size);
    made.append(std::move(block));
  }
  out.append(std::move(made));
  return true;
}

constexpr size_t kGzipPiece = 32 * 1024;  // about 0.2 ms of a turn

}  // namespace

SpanExporter::SpanExporter(Worker& worker) : worker_(worker), timer_(worker.loop.timers(), [this] { send_all(); }) {}

void SpanExporter::configure(const v1::MeshSettings& settings) {
  std::string now = settings.tracing().SerializeAsString();
  if (now == settings_) return;
  settings_ = std::move(now);
  collector_ = parse(settings.tracing().otlp_endpoint());
  if (collector_) complete(*collector_, settings.tracing());
  ++changes_;
  try_again_now();
}

// As control/ writes it: http://HOST:PORT/PATH, and a Service as NAME.NAMESPACE….
std::optional<SpanExporter::Collector> SpanExporter::parse(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) return std::nullopt;
  url.remove_prefix(kScheme.size());
  const size_t path_at = url.find('/');
  const size_t colon = url.substr(0, path_at).rfind(':');
  if (path_at == std::string_view::npos || colon == std::string_view::npos) return std::nullopt;
  Collector collector{.authority = std::string(url.substr(0, path_at)), .path = std::string(url.substr(path_at))};
  const std::string_view port = url.substr(colon + 1, path_at - colon - 1);
  if (std::from_chars(port.data(), port.data() + port.size(), collector.port).ec != std::errc()) return std::nullopt;
  std::string_view host = url.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (const auto address = IpAddress::parse(host)) {
    collector.address = {*address, collector.port};
    return collector;
  }
  const size_t dot = host.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view rest = host.substr(dot + 1);
  collector.service = fmt::format("{}/{}", rest.substr(0, rest.find('.')), host.substr(0, dot));
  return collector;
}

void SpanExporter::complete(Collector& collector, const v1::Tracing& settings) {
  collector.gzip = settings.gzip();
  collector.head =
      fmt::format("POST {} HTTP/1.1\r\nhost: {}\r\nuser-agent: leat/{}\r\ncontent-type: application/x-protobuf\r\n",
                  collector.path, collector.authority, LEAT_VERSION);
  if (collector.gzip) collector.head += "content-encoding: gzip\r\n";
  for (const v1::HeaderLine& line : settings.headers())
    collector.head += fmt::format("{}: {}\r\n", line.name(), line.value());
}

void SpanExporter::add(const Workload& pod, otlp::Span span) {
  if (waiting() >= limits::kSpansQueued) {
    ++counters_.queue_full;
    return;
  }
  queue_.add(pod, std::move(span));
  if (!timer_.armed())
    timer_.arm(worker_.loop.now() + (draining_ ? ring::Clock::duration::zero() : limits::kSpanDelay));
}

void SpanExporter::drain() {
  draining_ = true;
  if (timer_.armed()) timer_.arm(worker_.loop.now());
  try_again_now();
}

void SpanExporter::try_again_now() {
  for (ring::Timer* pause : pauses_) pause->arm(worker_.loop.now());
}

// Each pod's on their own: one whose network does not reach the collector holds up nobody else's.
void SpanExporter::send_all() {
  while (std::optional<SpanQueue::Batch> batch = queue_.take()) ring::start(send_until_taken(std::move(*batch)));
}

ring::Task<void> SpanExporter::send_until_taken(SpanQueue::Batch batch) {
  const size_t spans = batch.spans.size();
  under_way_ += spans;
  ring::Signal pause_over;
  ring::Timer pause(worker_.loop.timers(), [&] { pause_over.set(); });
  auto longer = limits::kExportPause;
  uint64_t* counter = &counters_.unreachable;
  for (int attempt = 1; worker_.mesh()->workload(batch.pod->uid); ++attempt) {  // else its network is gone
    const uint64_t changes = changes_;
    const Sent sent = co_await send(batch);
    if (sent == Sent::kLater && changes != changes_) continue;  // it was another collector that did not take them
    if (sent == Sent::kTaken) counter = &counters_.sent;
    if (sent == Sent::kRefused) counter = &counters_.refused;
    if (sent != Sent::kLater || attempt == limits::kExportAttempts || draining_) break;
    pauses_.insert(&pause);
    pause.arm(worker_.loop.now() + longer);
    co_await pause_over.wait();
    pauses_.erase(&pause);
    longer *= 2;
  }
  *counter += spans;
  under_way_ -= spans;
}

ring::Task<SpanExporter::Sent> SpanExporter::send(const SpanQueue::Batch& batch) {
  if (!collector_) co_return Sent::kRefused;
  FlowRecord record(worker_.flows, v1::FLOW_OUTBOUND);
  record.source = batch.pod;
  record.protocol = SeenProtocol::kHttp1;
  record.requests = 1;
  if (!batch.pod->addresses.empty()) record.client.ip = batch.pod->addresses.front();
  Outcome<UpstreamPtr> upstream = co_await connect(record, worker_.loop.now() + worker_.connect_timeout());
  if (!upstream) {
    log::debug("spans of {}/{}: no connection to {}: {}", batch.pod->namespace_, batch.pod->name,
               collector_ ? collector_->authority : "", sentence(upstream.error()));
    record.fail(upstream.error());
    co_return Sent::kLater;
  }
  const std::string message = co_await message_of(batch);
  if (!collector_) co_return Sent::kRefused;  // switched off meanwhile
  const Sent sent = co_await exchange(record, *upstream, message);
  sent == Sent::kLater ? record.close(Verdict::kReset, Reason::kServerClosed)
                       : record.close(Verdict::kOk, Reason::kNone);
  co_return sent;
}

ring::Task<Outcome<UpstreamPtr>> SpanExporter::connect(FlowRecord& record, ring::Clock::time_point deadline) {
  const MeshRef mesh = worker_.mesh();
  const bool ipv6 = !record.client.ip.is_v4();
  const auto connect_to = [&](const Service::Port& port, const Backend& backend, ring::Clock::time_point until) {
    return worker_.upstreams.connect(record, port, backend, HttpVersion::k1, UpstreamPool::Reuse::kRecent, until);
  };
  if (collector_->address) {
    const WorkloadRef pod = mesh->workload_at(collector_->address->ip);
    const Backend backend{.target = *collector_->address, .uid = pod ? pod->uid : "", .workload = pod};
    record.requested = backend.target;
    record.attempts = 1;
    const Service::Port of_no_service{.port = backend.target.port, .ipv6 = !backend.target.ip.is_v4()};
    co_return co_await connect_to(of_no_service, backend, deadline);
  }
  record.service = mesh->service(collector_->service);
  const Service::Port* port = record.service ? record.service->find_port(collector_->port, ipv6) : nullptr;
  if (!port) co_return std::unexpected(record.service ? Reason::kNoSuchPort : Reason::kTargetGone);
  const ServiceRef service = record.service;
  Candidates candidates = worker_.balancer.candidates(*service, *port, false, worker_.loop.now());
  auto connected = co_await connect_to_one_of<UpstreamPtr>(
      worker_, record, candidates, deadline,
      [&](const Backend& backend, ring::Clock::time_point until) { return connect_to(*port, backend, until); },
      [] { return true; });
  if (!connected) co_return std::unexpected(connected.error());
  record.requested = record.server;
  co_return std::move(connected->upstream);
}

// Packed in pieces, a turn each: requests go on in between.
ring::Task<std::string> SpanExporter::message_of(const SpanQueue::Batch& batch) {
  std::string message = batch.serialize();
  if (!collector_->gzip) co_return message;
  Gzip gzip;
  std::string packed;
  for (std::string_view rest = message;;) {
    const std::string_view piece = rest.substr(0, kGzipPiece);
    rest.remove_prefix(piece.size());
    gzip.append(piece, rest.empty(), packed);
    if (rest.empty()) co_return packed;
    ring::Signal next_turn;
    worker_.loop.post([&] { next_turn.set(); });
    co_await next_turn.wait();
  }
}

// One POST. What the collector may take later is worth another attempt (OTLP, "Failures").
ring::Task<SpanExporter::Sent> SpanExporter::exchange(FlowRecord& record, UpstreamPtr& upstream,
                                                      const std::string& message) {
  auto& stream = upstream->stream;
  ring::Timer patience(worker_.loop.timers(), [&] { stream.reset(); });
  patience.arm(worker_.loop.now() + limits::kExportTimeout);
  const std::string head = fmt::format("{}content-length: {}\r\n\r\n", collector_->head, message.size());
  ring::Chain out;
  co_await when_blocks(worker_.loop, [&] { return append_text(out, worker_.loop.buffers(), head + message); });
  record.bytes.a_to_b += out.size();
  const auto sent = co_await stream.send(std::move(out));

  http1::ResponseReader reader;
  http1::Step step = http1::Step::kNeedMore;
  ring::Chain input;
  while (sent && step == http1::Step::kNeedMore) {
    ring::IoResult<ring::Chain> got = co_await stream.recv();
    if (!got) break;
    record.bytes.b_to_a += got->size();
    const bool ended = got->empty();
    input = std::move(*got);
    ring::Chain body;  // says nothing that we need to know
    step = ended ? reader.read_end() : reader.read(input, body);
    while (step == http1::Step::kHead) step = reader.read(input, body);
    if (ended && step == http1::Step::kNeedMore) break;
  }
  const bool answered = step == http1::Step::kEnd;
  if (answered && input.empty() && reader.head().connection().keep_alive) {
    worker_.upstreams.put(std::move(upstream));
  } else {
    worker_.upstreams.end(std::move(upstream), !answered);
  }
  if (!answered) co_return Sent::kLater;
  const uint16_t status = reader.head().status();
  if (status / 100 == 2) co_return Sent::kTaken;
  co_return status == 429 || (status >= 502 && status <= 504) ? Sent::kLater : Sent::kRefused;
}

}  // namespace leat::proxy
