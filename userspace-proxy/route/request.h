// userspace-proxy/route: where an HTTP request goes, by the route tables of the Service that it asks for. Pure: no
// sockets, no clock, no dice of its own, and no HTTP codec: a request is seen through the views below.
//
//   text_matcher.h   one condition on a text, compiled
//   table.h          the routes of a Service, compiled from the mesh model
//   decide.h         a request -> its route -> one of the route's destinations
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace leat::proxy::route {

// How a request's headers are read: a function std::optional<std::string_view>(std::string_view name, std::string&
// joined). `name` is in lower case and is found in any case. Nothing where the request has no such header; several
// fields of one name are joined by "," in `joined`, and a view of it is returned. Holds a reference: the function must
// outlive it.
class Headers {
 public:
  template <typename Find>
  explicit Headers(const Find& find)
      : find_(&find), call_([](const void* object, std::string_view name, std::string& joined) {
          return std::optional<std::string_view>((*static_cast<const Find*>(object))(name, joined));
        }) {}

  std::optional<std::string_view> operator()(std::string_view name, std::string& joined) const {
    return call_(find_, name, joined);
  }

 private:
  const void* find_;
  std::optional<std::string_view> (*call_)(const void*, std::string_view, std::string&);
};

struct Request {
  std::string_view method;
  std::string_view scheme;     // "http"
  std::string_view authority;  // Host, as it was sent
  std::string_view path;       // as it was sent, without the query
  std::string_view query;      // what follows the first '?', undecoded
  uint16_t port = 0;           // of the Service, as the client asked for it
  Headers headers;
};

// The value of the first parameter of that name, undecoded.
std::optional<std::string_view> query_param(std::string_view query, std::string_view name);

using Labels = std::map<std::string, std::string, std::less<>>;

// The pod that sends it.
struct Client {
  std::string_view namespace_;
  const Labels& labels;
};

}  // namespace leat::proxy::route
