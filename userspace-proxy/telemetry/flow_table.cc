#include "userspace-proxy/telemetry/flow_table.h"

#include <chrono>

#include "common/log.h"
#include "userspace-proxy/limits.h"

namespace leat::proxy {
namespace {

int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

const char* word(Security security) {
  switch (security) {
    case Security::kMtls:
      return "mTLS";
    case Security::kSameNode:
      return "same node";
    case Security::kPlaintext:
      return "plaintext";
    case Security::kTls:
      return "TLS";
    case Security::kNone:
      break;
  }
  return "-";
}

namespace {

const char* word(SeenProtocol protocol) {
  switch (protocol) {
    case SeenProtocol::kHttp1:
      return "http/1.1";
    case SeenProtocol::kHttp2:
      return "http/2";
    case SeenProtocol::kTcp:
      break;
  }
  return "tcp";
}

const char* word(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOpen:
      return "open";
    case Verdict::kOk:
      return "ok";
    case Verdict::kReset:
      return "reset";
    case Verdict::kDenied:
      return "denied";
    case Verdict::kFailed:
      break;
  }
  return "failed";
}

}  // namespace

void FlowFacts::take_way_from(const FlowFacts& other) {
  if (destination != other.destination) destination = other.destination;
  if (peer != other.peer) peer = other.peer;
  server = other.server;
  path = other.path;
  security = other.security;
}

FlowRecord::FlowRecord(FlowTable& table, v1::FlowDirection flow_direction) : table_(&table) {
  direction = flow_direction;
  opened_ms = unix_ms();
  table_->opened(*this);
}

FlowRecord::~FlowRecord() {
  if (table_ && verdict == Verdict::kOpen) close(Verdict::kFailed, Reason::kDrainDeadline);
}

void FlowRecord::close(Verdict end, Reason why) {
  verdict = end;
  reason = why;
  log::debug("{} {} -> {}: {}{}{}, {} B sent, {} B received", direction == v1::FLOW_OUTBOUND ? "outbound" : "inbound",
             client.text(), server.text(), word(end), why == Reason::kNone ? "" : ": ", sentence(why), bytes.a_to_b,
             bytes.b_to_a);
  if (table_) table_->closed(*this);
}

void FlowRecord::close(const ring::RelayResult& result) {
  using End = ring::RelayResult::End;
  switch (result.end) {
    case End::kFinished:
      return close(Verdict::kOk, Reason::kNone);
    case End::kAFailed:
      return close(Verdict::kReset, Reason::kClientReset);
    case End::kBFailed:
      return close(Verdict::kReset, Reason::kServerReset);
    case End::kCancelled:
      return close(Verdict::kReset, Reason::kDrainDeadline);
  }
}

void FlowRecord::fail(Reason why) {
  switch (why) {
    case Reason::kPodLimit:
    case Reason::kDeniedByPeer:
    case Reason::kPlaintextDenied:
    case Reason::kUntrustedPeer:
    case Reason::kWrongAuthority:
    case Reason::kReservedPort:
      return close(Verdict::kDenied, why);
    default:
      return close(Verdict::kFailed, why);
  }
}

void FlowTable::opened(FlowRecord& record) {
  record.id = next_id_++;
  record.next_ = live_;
  record.back_ = &live_;
  if (live_) live_->back_ = &record.next_;
  live_ = &record;
  ++open_;
  ++opened_counts_[record.direction];
}

void FlowTable::closed(FlowRecord& record) {
  *record.back_ = record.next_;
  if (record.next_) record.next_->back_ = record.back_;
  --open_;
  if (on_closed_) on_closed_(record);
  ++closed_counts_[record.direction][static_cast<size_t>(record.reason)];
  closed_bytes_[record.direction].a_to_b += record.bytes.a_to_b;
  closed_bytes_[record.direction].b_to_a += record.bytes.b_to_a;

  Closed copy{record, unix_ms(), closed_sequence_.fetch_add(1, std::memory_order_relaxed)};
  if (closed_.size() < limits::kClosedFlows) {
    closed_.push_back(std::move(copy));
  } else {
    closed_[oldest_] = std::move(copy);
    oldest_ = (oldest_ + 1) % limits::kClosedFlows;
  }
}

void FlowTable::report(const v1::FlowQuery& query, uint64_t until, std::vector<v1::Flow>* out) const {
  if (query.open()) {
    for (const FlowRecord* record = live_; record; record = record->next_) out->push_back(describe(*record));
  }
  if (!query.closed()) return;
  for (size_t i = 0; i < closed_.size(); ++i) {
    const Closed& entry = closed_[(oldest_ + i) % closed_.size()];
    if (entry.sequence < query.closed_since_sequence() || entry.sequence >= until) continue;
    v1::Flow& flow = out->emplace_back(describe(entry.facts));
    flow.set_closed_ms(entry.closed_ms);
    flow.set_closed_sequence(entry.sequence);
  }
}

v1::Flow FlowTable::describe(const FlowFacts& facts) const {
  v1::Flow flow;
  flow.set_id(facts.id << 8 |
              static_cast<uint64_t>(worker_));  // ids of a worker are its own: the low byte keeps them apart
  flow.set_direction(facts.direction);
  flow.set_path(facts.path);
  if (facts.source) {
    flow.set_source_namespace(facts.source->namespace_);
    flow.set_source_pod(facts.source->name);
  }
  flow.set_source_address(facts.client.ip.wire());
  flow.set_source_port(facts.client.port);
  if (facts.service) flow.set_destination_service(facts.service->key);
  if (facts.destination) {
    flow.set_destination_namespace(facts.destination->namespace_);
    flow.set_destination_pod(facts.destination->name);
  }
  flow.set_destination_address(facts.server.ip.wire());
  flow.set_destination_port(facts.server.port);
  flow.set_requested_address(facts.requested.ip.wire());
  flow.set_requested_port(facts.requested.port);
  flow.set_security(word(facts.security));
  if (facts.peer) flow.set_peer_identity(facts.peer->text);
  flow.set_protocol(word(facts.protocol));
  flow.set_requests(facts.requests);
  flow.set_requests_open(facts.requests_open);
  flow.set_bytes_sent(facts.bytes.a_to_b);
  flow.set_bytes_received(facts.bytes.b_to_a);
  flow.set_opened_ms(facts.opened_ms);
  flow.set_worker(worker_);
  flow.set_verdict(word(facts.verdict));
  flow.set_reason(std::string(sentence(facts.reason)));
  flow.set_cure(std::string(cure(facts.reason)));
  flow.set_attempts(facts.attempts);
  return flow;
}

}  // namespace leat::proxy
