// Between Session and nghttp2: what the codec tells a session while it reads and writes frames. Private to http2.
#pragma once

#include <nghttp2/nghttp2.h>

namespace leat::http2 {

class Session;

// A codec whose user data is `session`. Never null: without memory for it the process can't go on.
nghttp2_session* make_codec(Session* session, bool is_server);

// Reads a Stream's queue when nghttp2 wants to send DATA.
nghttp2_data_provider data_of(class Stream* stream);

// Opaque data of the PING that asks whether the peer has seen our first GOAWAY.
inline constexpr unsigned char kDrainPing[8] = {'l', 'e', 'a', 't', 'd', 'r', 'a', 'n'};

}  // namespace leat::http2
