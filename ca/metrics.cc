#include "ca/metrics.h"

namespace leat::ca {
namespace {

void add(std::string& text, const char* name, const char* type, const char* help, double value) {
  text += fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n{0} {3}\n", name, type, help, value);
}

}  // namespace

std::string metrics_text(const RootKeeper& keeper, const Signing& signing) {
  using Outcome = Signing::Outcome;
  std::string text =
      "# HELP leat_ca_requests_total Requests for a certificate, by their outcome.\n"
      "# TYPE leat_ca_requests_total counter\n";
  const Signing::Counters& counters = signing.counters();
  for (const Outcome outcome : {Outcome::kIssued, Outcome::kUnauthenticated, Outcome::kDenied, Outcome::kInvalid,
                                Outcome::kBusy, Outcome::kUnavailable}) {
    const auto found = counters.answers.find(outcome);
    text += fmt::format("leat_ca_requests_total{{outcome=\"{}\"}} {}\n", Signing::name_of(outcome),
                        found == counters.answers.end() ? 0 : found->second);
  }
  const auto number = [](auto value) { return static_cast<double>(value); };
  add(text, "leat_ca_requests_pending", "gauge", "Requests that wait for the API server.", number(signing.pending()));
  add(text, "leat_ca_token_reviews_total", "counter", "Tokens that the API server was asked about.",
      number(counters.reviews));
  add(text, "leat_ca_pod_lists_total", "counter", "Nodes whose pods were asked for.", number(counters.pod_lists));
  add(text, "leat_ca_leader", "gauge", "1: this replica makes and rotates the root.", keeper.leads() ? 1 : 0);
  add(text, "leat_ca_rotating", "gauge", "1: peers trust more than one root now.", keeper.rotating() ? 1 : 0);
  add(text, "leat_ca_root_ok", "gauge", "0: the last look at Lease, Secret and ConfigMap failed; the log says why.",
      keeper.failure().empty() ? 1 : 0);
  if (keeper.authority()) {
    const auto end = keeper.authority()->issuer.not_after().time_since_epoch();
    add(text, "leat_ca_issuer_not_after_seconds", "gauge", "When the signing certificate ends, since 1970.",
        number(std::chrono::duration_cast<std::chrono::seconds>(end).count()));
  }
  return text;
}

}  // namespace leat::ca
