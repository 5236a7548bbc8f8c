// HTTP to a cluster's API server, on an event loop. It knows servers, credentials and connections, and nothing of
// objects. For whoever speaks with the cluster: the agent's Kubernetes source, leat-ca.
//
// The token is read again every minute and after a 401, which is tried once more with the new one; the CA file is read
// for every new connection. Of several servers the next one is taken when one can't be reached.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/curl_multi.h"
#include "common/event_loop.h"
#include "common/kubernetes/token_file.h"
#include "common/result.h"

namespace leat::kubernetes {

struct ApiServers {
  std::vector<std::string> urls;  // https://10.0.0.1:6443, the first is tried first
  std::string token_file;         // empty: none is sent
  std::string ca_file;
  std::string user_agent = "leat-agent";
};

// What a pod of a service account finds: servers by the environment, none outside a pod; token and CA where the kubelet
// puts them.
ApiServers servers_of_pod();

class ApiClient {
 public:
  using Id = uint64_t;  // 0 is never one

  struct Request {
    std::string method = "GET";
    std::string path;  // with its query
    std::string content_type;
    std::string body;
    std::chrono::seconds deadline{120};
    // A stream of lines, each given to `line` as it comes; else the whole body is collected.
    bool lines = false;
  };
  struct Answer {
    int status = 0;     // HTTP's; 0: none came
    std::string body;   // of what was not given out as lines
    std::string error;  // why the transfer did not end in order; empty: it did, or `line` wanted no more
    std::optional<std::chrono::seconds> retry_after;
  };
  struct Handlers {
    // These two must not call the client.
    std::function<void()> begun;                      // the stream is there, with status 200
    std::function<bool(std::string_view line)> line;  // false: no more
    std::function<void(Answer answer)> done;          // the last thing that is heard of this request
  };

  static Result<std::unique_ptr<ApiClient>> open(EventLoop& loop, ApiServers servers);
  ~ApiClient();

  // `done` is called later, never from here.
  Id send(Request request, Handlers handlers);
  void cancel(Id id);  // nothing is heard of it any more; 0, or one that is done, is ignored. Not in `line`.

 private:
  struct Transfer;

  explicit ApiClient(ApiServers servers);
  void begin(Transfer& transfer);
  void finish(Transfer& transfer, CURLcode result);
  static size_t on_header(char* data, size_t, size_t size, void* transfer);
  static size_t on_data(char* data, size_t, size_t size, void* transfer);

  ApiServers servers_;
  size_t server_ = 0;  // the one in use
  TokenFile token_;
  std::unique_ptr<CurlMulti> multi_;
  Id next_id_ = 1;
  std::map<Id, std::unique_ptr<Transfer>> transfers_;
};

}  // namespace leat::kubernetes
