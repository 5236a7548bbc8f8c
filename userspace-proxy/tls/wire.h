// The transport that OpenSSL sees: a BIO that reads from a queue of received slices and writes into pool blocks.
#pragma once

#include "common/openssl.h"
#include "userspace-proxy/ring/buffer.h"

namespace leat::tls {

struct Wire {
  ring::BufferPool* pool;
  ring::Chain input;
  ring::Chain output;
  bool stalled = false;  // a write found the pool dry; OpenSSL keeps the bytes and tries again
};

// A BIO of `wire`, which must keep its address until the BIO is gone.
ssl::Bytes make_bio(Wire* wire);

}  // namespace leat::tls
