// The verbs of CNI. Everything that it touches is given, so that tests run it whole.
#pragma once

#include <string>
#include <string_view>

#include "cni/environment.h"

namespace leat::cni {

// What the process leaves: its exit status, and what it prints.
struct Outcome {
  int status = 0;
  std::string out;
  std::string log;  // for standard error
};

// `read_input` is called at most once: VERSION has none.
Outcome run_plugin(const GetVariable& get, const std::function<Expected<std::string>()>& read_input);

}  // namespace leat::cni
