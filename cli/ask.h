// From a question to what is printed: the agent, or those of a cluster's nodes, are asked once.
#pragma once

#include <functional>

#include "cli/options.h"
#include "cli/views.h"
#include "common/result.h"
#include "leat.pb.h"

namespace leat::cli {

int64_t now_ms();  // since 1970

// Says that, and why; returns the exit code.
int unreachable(const Options& options, const Error& error);
void say_what_is_missing(const v1::ApiReply& reply);

Result<v1::ApiReply> ask_agent(const Options& options, const v1::ApiRequest& request);

using MakeView = std::function<View(const v1::ApiReply&, bool wide)>;

int print_view(const Options& options, const View& view, const v1::ApiReply& reply);
// Asks, prints what `view` makes of the answer, and says on stderr what is missing from it. Of a cluster's nodes the
// answers are one.
int show(const Options& options, const v1::ApiRequest& request, const MakeView& view);
// The same, node by node: each row says of which node it is, where there are several.
int show_each(const Options& options, const v1::ApiRequest& request, const MakeView& view);

}  // namespace leat::cli
