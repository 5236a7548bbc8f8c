#include "control/protocol.h"

#include <algorithm>

#include "control/text.h"

namespace leat::control {
namespace {

struct Word {
  std::string_view name;
  Declared declared;
};

constexpr Word kWords[] = {
    {"http", Declared::kHttp},     {"kubernetes.io/ws", Declared::kHttp},
    {"grpc-web", Declared::kHttp}, {"http2", Declared::kHttp2},
    {"grpc", Declared::kHttp2},    {"kubernetes.io/h2c", Declared::kHttp2},
    {"https", Declared::kTls},     {"kubernetes.io/wss", Declared::kTls},
    {"tls", Declared::kTls},       {"tcp", Declared::kOpaque},
    {"mongo", Declared::kOpaque},  {"mysql", Declared::kOpaque},
    {"redis", Declared::kOpaque},
};

Declared look_up(std::string_view name) {
  const auto word = std::ranges::find(kWords, name, &Word::name);
  return word == std::end(kWords) ? Declared::kNothing : word->declared;
}

}  // namespace

Declared declared_protocol(const ServicePortSpec& port) {
  if (!port.app_protocol.empty()) return look_up(lower_case(port.app_protocol));
  const std::string name = lower_case(port.name);
  if (name == "grpc-web" || name.starts_with("grpc-web-")) return Declared::kHttp;
  return look_up(std::string_view(name).substr(0, name.find('-')));
}

v1::Protocol protocol_of(Declared declared, Routed routed) {
  if (declared == Declared::kHttp) return v1::PROTOCOL_HTTP;
  if (declared == Declared::kHttp2) return v1::PROTOCOL_HTTP2;
  if (declared == Declared::kTls && routed.tls) return v1::PROTOCOL_TLS;
  return declared == Declared::kNothing && (routed.http || routed.tls) ? v1::PROTOCOL_DETECT : v1::PROTOCOL_TCP;
}

}  // namespace leat::control
