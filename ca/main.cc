// leat-ca: the certificate authority of a cluster's mesh. One thread decides everything; gRPC's own threads only carry
// requests to it (grpc_server.h).
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdlib>

#include <CLI/CLI.hpp>

#include "ca/cluster.h"
#include "ca/grpc_server.h"
#include "ca/limits.h"
#include "ca/metrics.h"
#include "ca/root_keeper.h"
#include "ca/signing.h"
#include "ca/status_server.h"
#include "common/log.h"

namespace leat::ca {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kExitFailed = 1, kExitUsage = 2;

struct Options {
  kubernetes::ApiServers servers = kubernetes::servers_of_pod();
  ClusterNames names{.ns = {}, .secret = "leat-ca-root", .config_map = "leat-ca-root", .lease = "leat-ca"};
  RootKeeper::Settings keeper;
  Signing::Settings signing;
  std::string listen = "0.0.0.0:15012";
  std::string status_listen = "0.0.0.0:15014";
  std::vector<std::string> server_names;
  std::vector<std::string> agents;
  // milliseconds
  int64_t lifetime = 12 * 3'600'000, distribute = 3'600'000, retire = 25 * 3'600'000,
          root_lifetime = 87'600ll * 3'600'000, sync = 5'000;
  std::string log = "info";
};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// 30s, 5m, 12h: text -> milliseconds.
const CLI::AsNumberWithUnit kDuration(
    std::map<std::string, int64_t>{{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}},
    CLI::AsNumberWithUnit::UNIT_REQUIRED, "DURATION");

class Program {
 public:
  Program(EventLoop& loop, std::unique_ptr<kubernetes::ApiClient> client, Options options)
      : loop_(loop),
        options_(std::move(options)),
        client_(std::move(client)),
        cluster_(*client_, options_.names),
        keeper_(loop_, cluster_, options_.keeper, [this](const AuthorityPtr& now) { renew_server(now); }),
        signing_(cluster_, keeper_, options_.signing) {}
  ~Program() { loop_.cancel(renewal_); }

  Result<void> start() {
    LEAT_TRY(grpc_, GrpcServer::open(loop_, options_.listen, [this](Signing::Request request, Signing::Done done) {
               signing_.handle(std::move(request), std::move(done));
             }));
    const auto healthy = [] { return StatusServer::Page{.good = true, .body = "ok\n"}; };
    const auto ready = [this] {
      if (keeper_.authority() && serves_) return StatusServer::Page{.good = true, .body = "ok\n"};
      return StatusServer::Page{
          .good = false, .body = (keeper_.failure().empty() ? "there is no root yet" : keeper_.failure()) + "\n"};
    };
    const auto metrics = [this] { return StatusServer::Page{.good = true, .body = metrics_text(keeper_, signing_)}; };
    LEAT_TRY(status_, StatusServer::open(loop_, options_.status_listen,
                                         {{"/healthz", healthy}, {"/readyz", ready}, {"/metrics", metrics}}));
    keeper_.start();
    return {};
  }

  // The lease is given back, so that another replica needs not wait for it to run out.
  void stop() {
    keeper_.resign([this] { loop_.stop(); });
    loop_.after(seconds(2), [this] { loop_.stop(); });
  }

 private:
  // Of another root, or at half of its life.
  void renew_server(const AuthorityPtr& authority) {
    const std::string signer = authority->issuer.certificate_der();
    if (signer == server_signer_) return;
    const auto certificate = authority->issuer.make_server(options_.server_names, limits::kServerLifetime);
    const auto serves = certificate ? grpc_->serve_with(*certificate) : std::unexpected(certificate.error());
    loop_.cancel(std::exchange(renewal_, 0));
    const auto again = [this, authority] {
      renewal_ = 0;
      server_signer_.clear();
      renew_server(keeper_.authority());
    };
    if (!serves) {
      log::error("requests can't be served: {}", serves.error().message);
      renewal_ = loop_.after(seconds(5), again);
      return;
    }
    serves_ = true;
    server_signer_ = signer;
    renewal_ = loop_.after(limits::kServerLifetime / 2, again);
    log::info("serves certificates on {} as {}", options_.listen, fmt::join(options_.server_names, ", "));
  }

  EventLoop& loop_;
  Options options_;
  std::unique_ptr<kubernetes::ApiClient> client_;
  Cluster cluster_;
  RootKeeper keeper_;
  Signing signing_;
  std::unique_ptr<StatusServer> status_;
  std::unique_ptr<GrpcServer> grpc_;
  std::string server_signer_;
  bool serves_ = false;
  EventLoop::TimerId renewal_ = 0;
};

Result<void> serve(Options options) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);  // before gRPC makes its threads
  const UniqueFd signals(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return fail_errno(errno, "watching for signals");
  LEAT_TRY(const auto loop, EventLoop::make());
  LEAT_TRY(auto client, kubernetes::ApiClient::open(*loop, options.servers));
  Program program(*loop, std::move(client), std::move(options));
  LEAT_TRY_VOID(program.start());
  loop->watch(signals.get(), EPOLLIN, [&](uint32_t) {
    loop->forget(signals.get());
    program.stop();
  });
  loop->run();
  log::info("leaves");
  return {};
}

void add_options(CLI::App& app, Options& options) {
  const auto duration = [&](const char* name, auto& target, const char* description, const char* default_text) {
    app.add_option(name, target, description)->default_str(default_text)->transform(kDuration);
  };
  app.add_option("--trust-domain", options.signing.trust_domain, "of the identities that are signed")
      ->default_str("cluster.local");
  app.add_option("--namespace", options.names.ns, "that this runs in: of the Secret, the ConfigMap and the Lease")
      ->envname("POD_NAMESPACE")
      ->required();
  app.add_option("--replica", options.keeper.replica, "this replica's name among the others")->envname("POD_NAME");
  app.add_option("--listen", options.listen, "where certificates are served, HOST:PORT")->capture_default_str();
  app.add_option("--status-listen", options.status_listen, "/healthz, /readyz and /metrics, IP:PORT")
      ->capture_default_str();
  app.add_option("--server-name", options.server_names,
                 "DNS names and addresses that clients know this by; default leat-ca.NAMESPACE.svc and the like");
  app.add_option("--agent", options.agents,
                 "service accounts, NAMESPACE/NAME, that may ask for the pods of their node; default "
                 "NAMESPACE/leat-agent");
  app.add_option("--audience", options.signing.audience, "that callers' tokens must be for")->default_str("istio-ca");
  duration("--lifetime", options.lifetime, "of a certificate, at most and by default; 24h at most", "12h");
  app.add_option("--rate", options.signing.signs_a_second, "certificates a second for one node")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--burst", options.signing.sign_burst, "certificates at once for one node")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--secret", options.names.secret, "of the root's key")->capture_default_str();
  app.add_option("--config-map", options.names.config_map, "that the roots are published in")->capture_default_str();
  app.add_option("--lease", options.names.lease, "by which replicas know who leads")->capture_default_str();
  duration("--root-lifetime", options.root_lifetime, "of a root that is made; it is followed at 4/5 of it", "87600h");
  duration("--rotate-distribute", options.distribute, "a new root is published for so long before it signs", "1h");
  duration("--rotate-retire", options.retire, "a former root is trusted for so long; more than a lifetime", "25h");
  duration("--sync", options.sync, "between two looks at Lease and Secret", "5s");
  auto* key = app.add_option("--issuer-key", options.keeper.issuer_key_file, "file of a given issuer's key, PEM");
  auto* chain = app.add_option("--issuer-certificate", options.keeper.issuer_chain_file,
                               "file of its certificate, and those between it and the root");
  auto* root = app.add_option("--root-certificate", options.keeper.root_file,
                              "file of the roots to trust, that of the issuer first");
  key->needs(chain)->needs(root);
  chain->needs(key);
  root->needs(key);
  app.add_option("--api-server", options.servers.urls, "https://HOST:PORT; default: as a pod is told")
      ->envname("LEAT_API_SERVER");
  app.add_option("--token", options.servers.token_file, "file of this program's own token")->capture_default_str();
  app.add_option("--api-server-ca", options.servers.ca_file, "file of the API server's CA")->capture_default_str();
  app.add_option("--log", options.log, "debug, info, warn or error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->capture_default_str();
  app.set_version_flag("--version", LEAT_VERSION);
}

// What options say together, and what they leave out. An empty answer: nothing is wrong.
std::string complete(Options& options) {
  const std::string& ns = options.names.ns;
  options.servers.user_agent = "leat-ca";
  if (options.servers.urls.empty())
    return "no API server is known: give --api-server https://HOST:PORT, or run in a pod";
  if (options.agents.empty()) options.agents = {ns + "/leat-agent"};
  options.signing.agents = {options.agents.begin(), options.agents.end()};
  if (options.server_names.empty()) {
    for (const char* form : {"leat-ca", "leat-ca.{}", "leat-ca.{}.svc", "leat-ca.{}.svc.cluster.local"})
      options.server_names.push_back(fmt::format(fmt::runtime(form), ns));
  }
  if (options.keeper.replica.empty()) {
    const std::string host = environment("HOSTNAME");
    options.keeper.replica = fmt::format("{}-{}", host.empty() ? "leat-ca" : host, ::getpid());
  }
  options.signing.lifetime = std::chrono::duration_cast<seconds>(milliseconds(options.lifetime));
  if (options.signing.lifetime > kMaxLifetime) return "--lifetime: a certificate lives 24h at most";
  options.keeper.trust_domain = options.signing.trust_domain;
  options.keeper.sync = milliseconds(options.sync);
  options.keeper.lease = limits::kLease;
  options.keeper.times = {.root_lifetime = std::chrono::duration_cast<seconds>(milliseconds(options.root_lifetime)),
                          .distribute = std::chrono::duration_cast<seconds>(milliseconds(options.distribute)),
                          .retire = std::chrono::duration_cast<seconds>(milliseconds(options.retire))};
  if (options.keeper.times.retire <= options.signing.lifetime)
    return "--rotate-retire must be longer than --lifetime: what the former root signed is valid so long";
  if (const auto valid = SpiffeId::make(options.signing.trust_domain, "ns", "sa"); !valid)
    return "--trust-domain: " + valid.error().message;
  return {};
}

int run(int argc, char** argv) {
  Options options;
  options.signing.trust_domain = "cluster.local";
  options.signing.audience = "istio-ca";
  options.signing.signs_a_second = limits::kSignsASecond;
  options.signing.sign_burst = limits::kSignBurst;
  CLI::App app("leat-ca: signs certificates for the pods of a cluster's mesh\nExample: leat-ca --namespace leat-system",
               "leat-ca");
  add_options(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  if (const std::string wrong = complete(options); !wrong.empty()) {
    fmt::print(stderr, "leat-ca: {}\n", wrong);
    return kExitUsage;
  }
  log::init("leat-ca", options.log);
  if (const auto done = serve(std::move(options)); !done) {
    log::error("{}", done.error().message);
    return kExitFailed;
  }
  return 0;
}

}  // namespace
}  // namespace leat::ca

int main(int argc, char** argv) { return leat::ca::run(argc, argv); }
