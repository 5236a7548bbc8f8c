// What each command does; returns its exit code (output.h).
#pragma once

#include "cli/options.h"
#include "leat.pb.h"

namespace leat::cli {

int run_flows(Options options);
int run_tap(const Options& options);
int run_top(const Options& options);
int run_dashboard(const Options& options);
int run_pods(const Options& options);
int run_services(const Options& options);
int run_routes(const Options& options);
int run_certificates(const Options& options);
int run_check(const Options& options);
int run_metrics(const Options& options);
int run_version(const Options& options);
int run_describe(const Options& options, bool pod);
int run_bug_report(const Options& options);
int run_relay(const Options& options);
int run_lint(const Options& options);
int run_uninstall(const Options& options);

// Open flows and untouched ones; with `closed` those that closed after the `since`th, too.
v1::ApiRequest flows_request(bool closed, uint64_t since);

// Of the options that choose pods.
bool is_wanted(const Options& options, const v1::Workload& pod);

}  // namespace leat::cli
