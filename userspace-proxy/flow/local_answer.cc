#include "userspace-proxy/flow/local_answer.h"

namespace leat::proxy {
namespace {

struct Meaning {
  uint16_t status;
  ResponseFlag flag;
};

Meaning meaning_of(Reason reason) {
  switch (reason) {
    case Reason::kNoRoute:
      return {404, ResponseFlag::kNoRoute};
    case Reason::kRequestTimeout:
      return {408, ResponseFlag::kBadRequest};
    case Reason::kConnectMethod:
      return {501, ResponseFlag::kBadRequest};
    case Reason::kBadRequest:
      return {400, ResponseFlag::kBadRequest};
    case Reason::kInvalidBackend:
      return {500, ResponseFlag::kNoHealthyUpstream};
    case Reason::kRewriteTooLong:
      return {414, ResponseFlag::kBadRequest};
    case Reason::kFaultAbort:
      return {503, ResponseFlag::kFaultInjected};
    case Reason::kBadResponse:
      return {502, ResponseFlag::kUpstreamClosed};
    case Reason::kNotHttp2:
      return {502, ResponseFlag::kNoHealthyUpstream};
    case Reason::kResponseTimeout:
    case Reason::kTryTimeout:
      return {504, ResponseFlag::kTimeout};
    case Reason::kServerClosed:
      return {503, ResponseFlag::kUpstreamClosed};
    case Reason::kConnectionLimit:
    case Reason::kPendingLimit:
    case Reason::kRequestLimit:
      return {503, ResponseFlag::kOverflow};
    case Reason::kNotAnAlias:
    case Reason::kTargetGone:
    case Reason::kNoSuchPort:
    case Reason::kNoEndpoint:
    case Reason::kNoRouteTarget:
    case Reason::kNoSubset:
      return {503, ResponseFlag::kNoHealthyUpstream};
    default:  // what a dial can end with
      return {503, ResponseFlag::kConnectFailure};
  }
}

}  // namespace

LocalAnswer answer_for(Reason reason) {
  const Meaning meaning = meaning_of(reason);
  std::string text(sentence(reason));
  if (!cure(reason).empty()) text.append("; ").append(cure(reason));
  text.append("\n");
  LocalAnswer answer{meaning.status, meaning.flag, reason, name(reason), std::move(text)};
  if (reason == Reason::kNotHttp2) answer.grpc_status = grpc::Status::kUnimplemented;  // another try helps nobody
  return answer;
}

LocalAnswer answer_for(http1::Fault fault) {
  return {status(fault), ResponseFlag::kBadRequest, Reason::kBadRequest, label(fault),
          std::string(sentence(fault)) + "\n"};
}

}  // namespace leat::proxy
