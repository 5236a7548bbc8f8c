// What `leat check` says of a node, from facts alone: every prerequisite, hook, map, age and queue, ok or with its
// cure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/capture/capture.h"
#include "agent/proxy_channel.h"
#include "leat.pb.h"

namespace leat::agent {

struct CniFacts {
  bool installs = false;  // otherwise others install the plugin
  std::string file;       // where its entry stands
  std::string problem;
  uint64_t repairs = 0, late_pods = 0;
};

struct CheckFacts {
  using Time = std::chrono::system_clock::time_point;

  Time now;
  std::string kernel;
  std::vector<capture::Feature> features;
  std::vector<capture::Feature> hooks;
  std::vector<capture::MapFill> maps;
  std::vector<std::string> notes;  // what capture degraded, in sentences

  struct Pod {
    std::string name;
    std::string failure;  // empty: captured
  };
  std::vector<Pod> pods;  // enrolled ones of this node

  std::vector<ProxyInfo> proxies;
  std::vector<std::string> silent_proxies;  // that did not answer this check
  uint64_t lease_epoch = 0;
  bool slots_closed = false;  // there was no proxy for too long
  std::optional<Time> without_proxy_since;
  uint64_t proxy_violations = 0;

  uint64_t generation = 0;
  Time published;
  std::optional<Error> failed_edit;
  uint64_t edits = 0;
  std::chrono::microseconds edit_median{}, edit_longest{};

  std::optional<CniFacts> cni;  // absent: not configured

  std::vector<v1::Certificate> certificates;
  std::string ca_error;    // empty: it works
  std::string ca_address;  // of a CA in the cluster; empty: the built-in one
  std::vector<v1::Finding> findings;
  std::string capabilities;  // that the agent keeps
};

std::vector<v1::CheckItem> check(const CheckFacts& facts);

}  // namespace leat::agent
