// A header block to send: names and values that live elsewhere. The codec copies them, and writes names in lower case.
#pragma once

#include <nghttp2/nghttp2.h>

#include <string_view>
#include <vector>

#include "userspace-proxy/http1/head.h"
#include "userspace-proxy/http1/writer.h"

namespace leat::http2 {

class HeaderList {
 public:
  void clear() { list_.clear(); }
  void add(std::string_view name, std::string_view value) {
    const auto bytes = [](std::string_view text) {
      return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(text.data()));
    };
    list_.push_back({bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
  }
  [[nodiscard]] const nghttp2_nv* data() const { return list_.data(); }
  [[nodiscard]] size_t size() const { return list_.size(); }

 private:
  std::vector<nghttp2_nv> list_;
};

// A head as it goes on, whatever version it came in: pseudo-headers first, without what ends at this hop.
void add_request(HeaderList& list, const http1::RequestHead& head, const http1::RequestEdits& edits = {});
void add_response(HeaderList& list, const http1::ResponseHead& head, const http1::Edits& edits = {});
void add_trailers(HeaderList& list, const http1::Fields& trailers);

}  // namespace leat::http2
