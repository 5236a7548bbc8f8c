// istio.v1.auth.IstioCertificateService over TLS. gRPC's threads take requests and bring them to the event loop, where
// everything is decided; nothing but that crosses between threads. A new server certificate is a new server beside the
// old one, which then lets its connections go: clients see a GOAWAY, and no request fails.
#pragma once

#include <memory>
#include <string>

#include "ca/issuer.h"
#include "ca/signing.h"
#include "common/event_loop.h"

namespace leat::ca {

class GrpcServer {
 public:
  using Handle = std::function<void(Signing::Request, Signing::Done)>;

  // `address`: HOST:PORT.
  static Result<std::unique_ptr<GrpcServer>> open(EventLoop& loop, std::string address, Handle handle);
  ~GrpcServer();  // ends every server; requests under way are answered with UNAVAILABLE

  Result<void> serve_with(const Issuer::Server& certificate);

 private:
  struct Inside;
  explicit GrpcServer(std::unique_ptr<Inside> inside);
  std::unique_ptr<Inside> inside_;
};

}  // namespace leat::ca
