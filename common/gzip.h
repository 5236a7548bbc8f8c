// Bytes into gzip's format (RFC 1952), piece by piece.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace leat {

class Gzip {
 public:
  Gzip();
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;
  ~Gzip();

  // Appends what is ready of `bytes` and those before; with `end` all of it, and nothing may follow.
  void append(std::string_view bytes, bool end, std::string& out);

 private:
  struct Stream;
  std::unique_ptr<Stream> stream_;
};

std::string gzip(std::string_view bytes);

}  // namespace leat
