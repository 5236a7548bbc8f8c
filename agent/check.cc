#include "agent/check.h"

#include <algorithm>
#include <ranges>

#include <fmt/format.h>

#include "control/findings.h"

namespace leat::agent {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kOk[] = "ok", kWarn[] = "warn", kFail[] = "fail";
constexpr size_t kListedFindings = 10;
constexpr double kFillWarning = 0.8;
// Renewed at half life: one that has used up 9 tenths was not renewed for 4 tenths of its life.
constexpr double kLifeWarning = 0.9;

std::string age(seconds time) {
  const auto count = time.count();
  if (count < 120) return fmt::format("{} s", count);
  if (count < 2 * 3600) return fmt::format("{} min", count / 60);
  if (count < 48 * 3600) return fmt::format("{} h", count / 3600);
  return fmt::format("{} d", count / 86400);
}

// The table's rows in the order in which a person looks for a fault: from the kernel up.
class Rows {
 public:
  explicit Rows(const CheckFacts& facts) : facts_(facts) {}

  std::vector<v1::CheckItem> all() && {
    kernel();
    hooks();
    pods();
    cni();
    maps();
    proxy();
    model();
    edits();
    certificates();
    objects();
    add("agent", kOk, fmt::format("keeps {}", facts_.capabilities));
    return std::move(rows_);
  }

 private:
  void add(const char* area, const char* status, std::string text, std::string cure = {}) {
    v1::CheckItem& row = rows_.emplace_back();
    row.set_area(area);
    row.set_status(status);
    row.set_text(std::move(text));
    row.set_cure(std::move(cure));
  }

  void kernel() {
    std::vector<std::string> good;
    for (const capture::Feature& feature : facts_.features) {
      if (feature.ok) {
        good.push_back(feature.name);
      } else {
        add("kernel", feature.needed ? kFail : kWarn, fmt::format("{}: {} is missing", facts_.kernel, feature.name),
            feature.cure);
      }
    }
    add("kernel", kOk, fmt::format("{}: {}", facts_.kernel, fmt::join(good, ", ")));
    for (const std::string& note : facts_.notes) add("kernel", kWarn, note);
  }

  void hooks() {
    size_t attached = 0;
    for (const capture::Feature& hook : facts_.hooks) {
      attached += hook.ok ? 1 : 0;
      if (!hook.ok) add("hooks", kFail, fmt::format("{} is not attached", hook.name), hook.cure);
    }
    if (attached > 0) add("hooks", kOk, fmt::format("{} of {} attached", attached, facts_.hooks.size()));
  }

  void pods() {
    size_t captured = 0;
    for (const CheckFacts::Pod& pod : facts_.pods) {
      captured += pod.failure.empty() ? 1 : 0;
      if (!pod.failure.empty()) {
        add("capture", kFail, fmt::format("pod {} is not captured: {}", pod.name, pod.failure),
            "it is tried again every 2 s; remove what the sentence names, or the pod");
      }
    }
    add("capture", kOk, fmt::format("{} of {} enrolled pods", captured, facts_.pods.size()));
  }

  void cni() {
    if (!facts_.cni) return;
    const CniFacts& cni = *facts_.cni;
    if (!cni.problem.empty())
      add("cni", kWarn, fmt::format("new pods may start uncaptured: {}", cni.problem),
          "they are captured some time after their start; until then they are outside the mesh");
    if (!cni.file.empty())
      add("cni", kOk,
          fmt::format("leat-cni stands in {}{}", cni.file,
                      cni.repairs == 0 ? "" : fmt::format(", put back {} times", cni.repairs)));
    if (!cni.installs) add("cni", kOk, "leat-cni is installed by somebody else");
    if (cni.late_pods > 0)
      add("cni", kWarn,
          fmt::format("{} pods started before they could be captured; they are captured now", cni.late_pods),
          "the agent's log names them; connections that they had then are outside the mesh until they end");
  }

  void maps() {
    for (const capture::MapFill& map : facts_.maps) {
      const double fill = map.capacity == 0 ? 0 : static_cast<double>(map.entries) / map.capacity;
      const bool full = map.capacity != 0 && map.entries >= map.capacity;
      const bool tight = fill >= kFillWarning && !map.evicts;
      add("maps", tight ? (full ? kFail : kWarn) : kOk, fmt::format("{} {} / {}", map.name, map.entries, map.capacity),
          tight ? fmt::format("when full: {}", map.when_full) : "");
    }
  }

  void proxy() {
    const auto armed = std::ranges::find_if(facts_.proxies, &ProxyInfo::armed);
    if (armed != facts_.proxies.end()) {
      add("proxy", kOk,
          fmt::format("version {}, process {}, {} workers, {}, lease {}", armed->version, armed->pid, armed->workers,
                      armed->backend, facts_.lease_epoch));
    } else {
      const std::string since = facts_.without_proxy_since
                                    ? age(duration_cast<seconds>(facts_.now - *facts_.without_proxy_since))
                                    : "unknown time";
      add("proxy", kFail,
          fmt::format("none for {}; {}", since,
                      facts_.slots_closed ? "PERMISSIVE pods go untouched, STRICT ones are refused"
                                          : "new connections wait for it"),
          "start leat-proxy on this node, as the user proxy_user of the agent's configuration; its log says why it "
          "stopped");
    }
    const auto draining = std::ranges::count_if(facts_.proxies, [](const ProxyInfo& proxy) { return !proxy.armed; });
    if (armed != facts_.proxies.end() && draining > 0)
      add("proxy", kOk, fmt::format("{} more, not armed: draining or standing by", draining));
    for (const std::string& instance : facts_.silent_proxies) {
      add("proxy", kFail, fmt::format("{} does not answer", instance),
          "its supervisor ends a worker that hangs; if it stays so, end it");
    }
    if (facts_.proxy_violations > 0) {
      add("proxy", kWarn, fmt::format("{} connections ended for broken messages", facts_.proxy_violations),
          "see the agent's log; agent and proxy must be of neighbouring versions");
    }
  }

  void model() {
    if (facts_.failed_edit)
      add("model", kFail, fmt::format("the last edit is not in force: {}", facts_.failed_edit->message),
          "see the agent's log");
    const auto behind = std::ranges::find_if(facts_.proxies, [&](const ProxyInfo& proxy) {
      return proxy.armed && proxy.acknowledged_generation < facts_.generation;
    });
    add("model", behind == facts_.proxies.end() ? kOk : kWarn,
        fmt::format(
            "generation {}, {} old{}", facts_.generation, age(duration_cast<seconds>(facts_.now - facts_.published)),
            behind == facts_.proxies.end() ? ""
                                           : fmt::format("; the proxy acts on {}", behind->acknowledged_generation)),
        behind == facts_.proxies.end() ? ""
                                       : "if it stays so, end the proxy: its successor begins with the present model");
  }

  void edits() {
    if (facts_.edits == 0) return;
    const auto ms = [](std::chrono::microseconds time) { return static_cast<double>(time.count()) / 1000; };
    add("edits", kOk,
        fmt::format("{} edits, in force after {:.1f} ms (median), {:.1f} ms (longest)", facts_.edits,
                    ms(facts_.edit_median), ms(facts_.edit_longest)));
  }

  // Where the reason stands: what leat-ca refuses it says in a line of its log, with the identity.
  std::string ca_cure(std::string_view identity) const {
    const std::string_view address = facts_.ca_address;
    if (address.empty() && identity.empty()) return "make the folder `ca` of the configuration readable and writable";
    if (address.empty()) return "see the agent's log for this identity";
    constexpr std::string_view kOwn = "leat-ca.";
    const std::string_view account = identity.substr(std::min(identity.size(), identity.find("/ns/")));
    const std::string grep = account.empty() ? "" : fmt::format(" | grep {}", account);
    if (!address.starts_with(kOwn)) return fmt::format("see the log of the CA at {}{}", address, grep);
    const std::string_view ns = address.substr(kOwn.size(), address.find_first_of(".:", kOwn.size()) - kOwn.size());
    return fmt::format("kubectl -n {} logs -l app.kubernetes.io/name=leat-ca --tail=-1{}", ns, grep);
  }

  void certificates() {
    if (!facts_.ca_error.empty())
      add("certificates", facts_.ca_address.empty() ? kFail : kWarn, facts_.ca_error, ca_cure(""));
    size_t good = 0;
    const int64_t now = duration_cast<milliseconds>(facts_.now.time_since_epoch()).count();
    for (const v1::Certificate& certificate : facts_.certificates) {
      const double life = static_cast<double>(certificate.not_after_ms() - certificate.not_before_ms());
      const double used = life <= 0 ? 1 : static_cast<double>(now - certificate.not_before_ms()) / life;
      const bool expired = certificate.state() != "pending" && now >= certificate.not_after_ms();
      if (certificate.state() == "valid" && used < kLifeWarning) {
        ++good;
        continue;
      }
      const std::string left = age(seconds(std::max<int64_t>(0, certificate.not_after_ms() - now) / 1000));
      add("certificates", expired ? kFail : kWarn,
          fmt::format("{} {}{}", certificate.identity(),
                      expired                            ? "has expired"
                      : certificate.state() == "pending" ? "has none yet"
                                                         : "expires in " + left,
                      certificate.last_error().empty()
                          ? ""
                          : fmt::format("; the last request failed: {}", certificate.last_error())),
          ca_cure(certificate.identity()));
    }
    if (!facts_.certificates.empty())
      add("certificates", kOk, fmt::format("{} of {} valid", good, facts_.certificates.size()));
  }

  void objects() {
    const auto errors = std::ranges::count_if(facts_.findings,
                                              [](const v1::Finding& finding) { return finding.severity() == "error"; });
    const auto warnings = static_cast<std::ptrdiff_t>(facts_.findings.size()) - errors;
    if (facts_.findings.empty()) return add("objects", kOk, "no findings");
    add("objects", errors > 0 ? kFail : kWarn,
        fmt::format("{} errors, {} warnings; what is valid is in force", errors, warnings),
        facts_.findings.size() > kListedFindings ? "`leat lint` of the folder lists all of them" : "");
    for (const v1::Finding& finding : facts_.findings | std::views::take(kListedFindings)) {
      add("objects", finding.severity() == "error" ? kFail : kWarn, control::text_of(finding));
    }
  }

  const CheckFacts& facts_;
  std::vector<v1::CheckItem> rows_;
};

}  // namespace

std::vector<v1::CheckItem> check(const CheckFacts& facts) { return Rows(facts).all(); }

}  // namespace leat::agent
