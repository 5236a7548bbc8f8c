#include "common/kubernetes/token_file.h"

#include <fstream>
#include <iterator>

#include "common/log.h"

namespace leat::kubernetes {

const std::string& TokenFile::get(Clock::time_point now) {
  if (path_.empty() || (read_at_ && now - *read_at_ < kReadAgain)) return token_;
  read_at_ = now;
  std::ifstream file(path_, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});
  text.resize(text.find_last_not_of(" \r\n") + 1);
  if (text.empty()) {
    log::error("the token of the service account can't be read: {}", path_);
  } else {
    token_ = std::move(text);
  }
  return token_;
}

}  // namespace leat::kubernetes
