#include "common/gzip.h"

#include <zlib.h>

#include <array>

#include "common/check.h"

namespace leat {

struct Gzip::Stream {
  z_stream z{};
};

// The fastest level: what is compressed here repeats itself so much that the others gain little.
Gzip::Gzip() : stream_(std::make_unique<Stream>()) {
  constexpr int kWindowOfGzip = 15 + 16;
  LEAT_CHECK(deflateInit2(&stream_->z, Z_BEST_SPEED, Z_DEFLATED, kWindowOfGzip, 8, Z_DEFAULT_STRATEGY) == Z_OK,
             "no memory for gzip");
}

Gzip::~Gzip() { deflateEnd(&stream_->z); }

void Gzip::append(std::string_view bytes, bool end, std::string& out) {
  z_stream& z = stream_->z;
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  std::array<char, 16384> room;
  do {
    z.next_out = reinterpret_cast<Bytef*>(room.data());
    z.avail_out = room.size();
    deflate(&z, end ? Z_FINISH : Z_NO_FLUSH);
    out.append(room.data(), room.size() - z.avail_out);
  } while (z.avail_out == 0);
}

std::string gzip(std::string_view bytes) {
  std::string out;
  Gzip().append(bytes, true, out);
  return out;
}

}  // namespace leat
