#include "userspace-proxy/route/header_edits.h"

#include <algorithm>

namespace leat::proxy::route {
namespace {

using Lines = std::vector<FieldEdits::Line>;
using Messages = google::protobuf::RepeatedPtrField<v1::HeaderLine>;

bool same(const std::string& left, const std::string& right) {
  const auto lower = [](char letter) { return letter >= 'A' && letter <= 'Z' ? letter - 'A' + 'a' : letter; };
  return std::ranges::equal(left, right, {}, lower, lower);
}

void forget(Lines& lines, const std::string& name) {
  std::erase_if(lines, [&](const FieldEdits::Line& line) { return same(line.name, name); });
}

// As if the edits so far had been made, and then these.
void then(FieldEdits& edits, const Messages& set, const Messages& add,
          const google::protobuf::RepeatedPtrField<std::string>& remove) {
  for (const std::string& name : remove) {
    forget(edits.set, name);
    forget(edits.add, name);
    edits.remove.push_back(name);
  }
  for (const v1::HeaderLine& line : set) {
    forget(edits.set, line.name());
    forget(edits.add, line.name());
    edits.set.push_back({line.name(), line.value()});
  }
  for (const v1::HeaderLine& line : add) edits.add.push_back({line.name(), line.value()});
}

}  // namespace

std::unique_ptr<const HeaderEdits> compile_edits(const v1::HeaderEdits& destination, const v1::HeaderEdits& route,
                                                 const std::string& authority) {
  auto edits = std::make_unique<HeaderEdits>();
  for (const v1::HeaderEdits* each : {&destination, &route}) {
    then(edits->request, each->request_set(), each->request_add(), each->request_remove());
    then(edits->response, each->response_set(), each->response_add(), each->response_remove());
  }
  const bool sets_host =
      std::ranges::any_of(edits->request.set, [](const FieldEdits::Line& line) { return same(line.name, "host"); });
  if (!authority.empty() && !sets_host) edits->request.set.push_back({"host", authority});
  if (edits->request.empty() && edits->response.empty()) return nullptr;
  return edits;
}

}  // namespace leat::proxy::route
