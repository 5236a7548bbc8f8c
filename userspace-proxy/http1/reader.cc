#include "userspace-proxy/http1/reader.h"

namespace leat::http1 {

// ---- requests

Step RequestReader::refuse(Fault fault) {
  fault_ = fault;
  return Step::kFault;
}

Step RequestReader::read(ring::Chain& input, ring::Chain& body) {
  if (fault_ != Fault::kNone) return Step::kFault;
  if (ended_) return Step::kEnd;
  if (has_head_) {
    const Step step = body_.read(input, body);
    ended_ = step == Step::kEnd;
    return step == Step::kFault ? refuse(body_.fault()) : step;
  }
  const HeadParser::Progress progress = parser_.read(input, head_.fields_);
  if (progress == HeadParser::Progress::kNeedMore) return Step::kNeedMore;
  if (progress == HeadParser::Progress::kFault) return refuse(parser_.fault());
  if (const Fault fault = Rules::apply(head_, parser_.start_line()); fault != Fault::kNone) return refuse(fault);
  body_.begin(head_.connection_.framing, head_.connection_.content_length);
  has_head_ = true;
  return Step::kHead;
}

Step RequestReader::read_end() {
  if (fault_ != Fault::kNone) return Step::kFault;
  if (ended_) return Step::kEnd;
  return started() ? refuse(Fault::kTruncated) : Step::kNeedMore;
}

void RequestReader::next() {
  parser_.restart(head_.fields_);
  body_.begin(Framing::kNone, 0);
  fault_ = Fault::kNone;
  has_head_ = ended_ = false;
}

// ---- responses

Step ResponseReader::refuse(Fault fault) {
  fault_ = fault;
  return Step::kFault;
}

Step ResponseReader::read(ring::Chain& input, ring::Chain& body) {
  if (fault_ != Fault::kNone) return Step::kFault;
  if (ended_) return Step::kEnd;
  if (has_head_ && !head_.interim()) {
    const Step step = body_.read(input, body);
    ended_ = step == Step::kEnd;
    return step == Step::kFault ? refuse(body_.fault()) : step;
  }
  if (has_head_) {
    seen_interim_ = true;
    restart_head();
  }
  const HeadParser::Progress progress = parser_.read(input, head_.fields_);
  if (progress == HeadParser::Progress::kNeedMore) return Step::kNeedMore;
  if (progress == HeadParser::Progress::kFault) return refuse(parser_.fault());
  if (const Fault fault = Rules::apply(head_, parser_.start_line(), asked_); fault != Fault::kNone)
    return refuse(fault);
  body_.begin(head_.connection_.framing, head_.connection_.content_length);
  has_head_ = true;
  return Step::kHead;
}

Step ResponseReader::read_end() {
  if (fault_ != Fault::kNone) return Step::kFault;
  if (has_head_ && body_.ends_with_close()) ended_ = true;
  if (ended_) return Step::kEnd;
  return started() ? refuse(Fault::kTruncated) : Step::kNeedMore;
}

void ResponseReader::next(Asked asked) {
  asked_ = asked;
  restart_head();
  body_.begin(Framing::kNone, 0);
  fault_ = Fault::kNone;
  seen_interim_ = ended_ = false;
}

void ResponseReader::restart_head() {
  parser_.restart(head_.fields_);
  has_head_ = false;
}

}  // namespace leat::http1
