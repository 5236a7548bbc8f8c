#include "userspace-proxy/tls/wire.h"

#include <algorithm>
#include <cstring>

#include "common/check.h"

namespace leat::tls {
namespace {

int read_wire(BIO* bio, char* out, size_t size, size_t* got) {
  Wire& wire = *static_cast<Wire*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  *got = 0;
  while (*got < size && !wire.input.empty()) {
    const ring::Buffer& front = wire.input.slices().front();
    const size_t part = std::min<size_t>(size - *got, front.size());
    std::memcpy(out + *got, front.data(), part);
    wire.input.consume(part);
    *got += part;
  }
  if (*got == 0) BIO_set_retry_read(bio);
  return *got > 0;
}

int write_wire(BIO* bio, const char* data, size_t size, size_t* written) {
  Wire& wire = *static_cast<Wire*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const size_t before = wire.output.size();
  if (!wire.output.append_copy(*wire.pool, {reinterpret_cast<const uint8_t*>(data), size})) wire.stalled = true;
  *written = wire.output.size() - before;
  if (*written == 0) BIO_set_retry_write(bio);
  return *written > 0;
}

long control_wire(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* make_method() {
  BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "leat wire");
  LEAT_CHECK(method, "no memory for a BIO method");
  BIO_meth_set_read_ex(method, read_wire);
  BIO_meth_set_write_ex(method, write_wire);
  BIO_meth_set_ctrl(method, control_wire);
  return method;
}

}  // namespace

ssl::Bytes make_bio(Wire* wire) {
  static BIO_METHOD* const method = make_method();  // a constant table that OpenSSL wants on its heap
  ssl::Bytes bio(BIO_new(method));
  LEAT_CHECK(bio, "no memory for a BIO");
  BIO_set_data(bio.get(), wire);
  BIO_set_init(bio.get(), 1);
  return bio;
}

}  // namespace leat::tls
