// Several proxies' answers to one question -> one reply: the draining ones' parts count too, and what is missing is
// said.
#pragma once

#include <string>

#include "agent/flow_cursors.h"
#include "agent/proxy_channel.h"
#include "leat.pb.h"

namespace leat::agent {

// A reply may be partial for several reasons: each is a sentence of its `error`.
void add_error(v1::ApiReply& reply, const std::string& sentence);

// `position` advances to what was read; every flow is of `node`, whatever the proxy says.
void merge_flows(const ProxyChannel::Answers& answers, const std::string& node, v1::ApiReply& reply,
                 FlowCursors::Position& position);
void merge_tapped(const ProxyChannel::Answers& answers, const std::string& node, v1::ApiReply& reply,
                  FlowCursors::Position& position);
// Certificates by identity (of several the one that is valid for longest), counters summed by name and labels.
void merge_stats(const ProxyChannel::Answers& answers, v1::ApiReply& reply);

}  // namespace leat::agent
