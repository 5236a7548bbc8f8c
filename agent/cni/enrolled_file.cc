#include "agent/cni/enrolled_file.h"

#include <fmt/chrono.h>

#include "common/cni_message.h"
#include "common/log.h"
#include "control/enrolment.h"

namespace leat::agent {

std::string utc_text(EnrolledFile::Time time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

EnrolledFile EnrolledFile::open(const StateFolder& state) {
  EnrolledFile file;
  const auto text = state.read(cni::kEnrolledFile);
  if (!text) {
    log::error("{}", text.error().message);
  } else if (*text) {
    const auto namespaces = cni::load_enrolled_namespaces(**text);
    if (!namespaces) log::error("the file of enrolled namespaces is damaged; it is written anew from the objects");
    file.written_ = namespaces.has_value();
    file.namespaces_ = namespaces.value_or(cni::EnrolledNamespaces());
  }
  return file;
}

Result<void> EnrolledFile::update(const StateFolder& state, const control::ObjectSet& objects, Time now) {
  cni::EnrolledNamespaces enrolled;
  for (const auto& [name, space] : objects.all<control::Namespace>()) {
    if (!control::is_enrolled(space, objects)) continue;
    const auto known = namespaces_.find(name.name);
    enrolled.emplace(name.name, known == namespaces_.end() ? utc_text(now) : known->second);
  }
  if (written_ && enrolled == namespaces_) return {};
  namespaces_ = std::move(enrolled);
  written_ = false;
  LEAT_TRY_VOID(state.write(cni::kEnrolledFile, cni::save(namespaces_)));
  written_ = true;
  return {};
}

}  // namespace leat::agent
