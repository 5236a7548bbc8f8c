// The name that a TLS client asks for, read from the first bytes of its connection: RFC 8446, section 4.1.2, and RFC
// 6066, section 3. Bytes in, a name out: nothing is decrypted or answered, the bytes go on as they came. Any version of
// TLS; a hello in several records; extensions that nobody knows (GREASE, an encrypted hello, of which the outer name is
// read). What is not such a hello is said to be none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace leat::tls {

// What it keeps of a hello until it is whole: post-quantum key shares take 1 to 2 KB, session tickets a few.
inline constexpr size_t kMaxClientHelloBytes = 16 * 1024;

class ClientHelloReader {
 public:
  enum class State : uint8_t {
    kMore,      // bytes are needed
    kWhole,     // server_name() is known, which may be empty: the client names none
    kNotTls,    // the bytes are no hello
    kTooLarge,  // more than kMaxClientHelloBytes
  };

  // In pieces of any size. Once it is no longer kMore, further bytes change nothing.
  State feed(std::span<const uint8_t> bytes);
  [[nodiscard]] State state() const { return state_; }
  // In lower case.
  [[nodiscard]] const std::string& server_name() const { return server_name_; }

  // A handshake record of TLS begins so.
  static constexpr uint8_t kFirstByte = 22;

 private:
  size_t take_header(std::span<const uint8_t> bytes);
  State parse_when_whole();

  State state_ = State::kMore;
  uint8_t header_[5] = {};  // of the record that is read
  size_t header_bytes_ = 0;
  size_t record_left_ = 0;
  std::string hello_;  // the records' contents, up to the end of the hello
  std::string server_name_;
};

}  // namespace leat::tls
