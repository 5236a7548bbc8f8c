#include "ca/grpc_server.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <deque>
#include <list>
#include <mutex>
#include <thread>
#include <utility>

#include "ca/limits.h"
#include "common/log.h"
#include "istio_ca.grpc.pb.h"

namespace leat::ca {
namespace {

using istio::v1::auth::IstioCertificateRequest;
using istio::v1::auth::IstioCertificateResponse;
using istio::v1::auth::IstioCertificateService;

constexpr char kAuthorization[] = "authorization", kBearer[] = "Bearer ", kIdentity[] = "ImpersonatedIdentity";
constexpr int kConnectionAgeMs = 10 * 60'000;  // so that connections spread over replicas that came later
constexpr int kThreads = 4;
constexpr size_t kMemory = 64u << 20;
constexpr std::chrono::seconds kGoodbye{5};  // of a server that another one replaced

grpc::Status status_of(const Signing::Answer& answer) {
  switch (answer.outcome) {
    case Signing::Outcome::kIssued:
      return grpc::Status::OK;
    case Signing::Outcome::kUnauthenticated:
      return {grpc::StatusCode::UNAUTHENTICATED, answer.told};
    case Signing::Outcome::kDenied:
      return {grpc::StatusCode::PERMISSION_DENIED, answer.told};
    case Signing::Outcome::kInvalid:
      return {grpc::StatusCode::INVALID_ARGUMENT, answer.told};
    case Signing::Outcome::kBusy:
      return {grpc::StatusCode::RESOURCE_EXHAUSTED, answer.told};
    case Signing::Outcome::kUnavailable:
      break;
  }
  return {grpc::StatusCode::UNAVAILABLE, answer.told};
}

std::string token_of(const grpc::CallbackServerContext& context) {
  const auto found = context.client_metadata().find(kAuthorization);
  if (found == context.client_metadata().end()) return {};
  const std::string_view value(found->second.data(), found->second.size());
  return value.starts_with(kBearer) ? std::string(value.substr(sizeof kBearer - 1)) : "";
}

std::string identity_of(const IstioCertificateRequest& request) {
  const auto found = request.metadata().fields().find(kIdentity);
  return found == request.metadata().fields().end() ? "" : found->second.string_value();
}

// What gRPC's threads leave for the loop.
class Handover {
 public:
  Handover() : wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  // False: nobody takes anything any more.
  bool put(std::function<void()> work) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return false;
      work_.push_back(std::move(work));
    }
    const uint64_t one = 1;
    return ::write(wake_.get(), &one, sizeof one) == sizeof one;
  }
  std::deque<std::function<void()>> take() {
    uint64_t count = 0;
    if (::read(wake_.get(), &count, sizeof count) < 0) return {};
    const std::lock_guard lock(mutex_);
    return std::exchange(work_, {});
  }
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  [[nodiscard]] int fd() const { return wake_.get(); }

 private:
  std::mutex mutex_;
  bool closed_ = false;
  std::deque<std::function<void()>> work_;
  UniqueFd wake_;
};

class Service : public IstioCertificateService::CallbackService {
 public:
  Service(Handover& handover, const GrpcServer::Handle& handle) : handover_(handover), handle_(handle) {}

  grpc::ServerUnaryReactor* CreateCertificate(grpc::CallbackServerContext* context,
                                              const IstioCertificateRequest* request,
                                              IstioCertificateResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    Signing::Request asked{.csr_pem = request->csr(),
                           .lifetime_s = request->validity_duration(),
                           .identity = identity_of(*request),
                           .token = token_of(*context),
                           .peer = context->peer()};
    const bool taken = handover_.put([this, reactor, response, asked = std::move(asked)]() mutable {
      handle_(std::move(asked), [reactor, response](Signing::Answer answer) {
        for (std::string& pem : answer.chain) response->add_cert_chain(std::move(pem));
        reactor->Finish(status_of(answer));
      });
    });
    if (!taken) reactor->Finish({grpc::StatusCode::UNAVAILABLE, "the CA ends"});
    return reactor;
  }

 private:
  Handover& handover_;
  const GrpcServer::Handle& handle_;
};

}  // namespace

struct GrpcServer::Inside {
  EventLoop& loop;
  std::string address;
  Handle handle;
  Handover handover;
  Service service{handover, handle};
  std::unique_ptr<grpc::Server> server;
  std::list<std::thread> leaving;  // each waits for a former server's last answer

  Inside(EventLoop& its_loop, std::string its_address, Handle its_handle)
      : loop(its_loop), address(std::move(its_address)), handle(std::move(its_handle)) {}

  void leave(std::unique_ptr<grpc::Server> former) {
    leaving.emplace_back([former = std::move(former)] {
      former->Shutdown(std::chrono::system_clock::now() + kGoodbye);
      former->Wait();
    });
  }
};

Result<std::unique_ptr<GrpcServer>> GrpcServer::open(EventLoop& loop, std::string address, Handle handle) {
  auto inside = std::make_unique<Inside>(loop, std::move(address), std::move(handle));
  if (inside->handover.fd() < 0) return fail_errno(errno, "making an eventfd");
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(inside)));
}

GrpcServer::GrpcServer(std::unique_ptr<Inside> inside) : inside_(std::move(inside)) {
  inside_->loop.watch(inside_->handover.fd(), EPOLLIN, [this](uint32_t) {
    for (const auto& work : inside_->handover.take()) work();
  });
}

GrpcServer::~GrpcServer() {
  inside_->loop.forget(inside_->handover.fd());
  inside_->handover.close();
  for (const auto& work : inside_->handover.take()) work();
  if (inside_->server) inside_->leave(std::move(inside_->server));
  for (std::thread& thread : inside_->leaving) thread.join();
}

Result<void> GrpcServer::serve_with(const Issuer::Server& certificate) {
  grpc::SslServerCredentialsOptions tls;
  tls.pem_key_cert_pairs.push_back({certificate.key_pem, certificate.chain_pem});
  grpc::ResourceQuota quota("leat-ca");
  quota.Resize(kMemory).SetMaxThreads(kThreads);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(inside_->address, grpc::SslServerCredentials(tls), &port);
  builder.RegisterService(&inside_->service);
  builder.SetMaxReceiveMessageSize(static_cast<int>(limits::kMaxMessageBytes));
  builder.SetResourceQuota(quota);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, kConnectionAgeMs);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server || port == 0)
    return fail(ErrorCode::kSystem, "can't listen on {}: is the address right, and free?", inside_->address);
  if (inside_->server) inside_->leave(std::move(inside_->server));
  inside_->server = std::move(server);
  return {};
}

}  // namespace leat::ca
