#include "common/kubernetes/ask.h"

#include <utility>

#include <fmt/chrono.h>
#include <nlohmann/json.hpp>

namespace leat::kubernetes {
namespace {

using nlohmann::json;

constexpr int kOk = 200, kCreated = 201, kUnauthorized = 401, kForbidden = 403, kNotFound = 404, kConflict = 409,
              kUnprocessable = 422;

std::string what_it_says(const ApiClient::Answer& answer) {
  const json status = json::parse(answer.body, nullptr, false);
  const auto message = status.is_object() ? status.find("message") : status.end();
  const bool says = status.is_object() && message != status.end() && message->is_string();
  return says ? message->get<std::string>() : fmt::format("HTTP {}", answer.status);
}

ErrorCode code_of(int status) {
  if (status == kNotFound) return ErrorCode::kNotFound;
  if (status == kConflict) return ErrorCode::kConflict;
  if (status == kUnauthorized || status == kForbidden) return ErrorCode::kDenied;
  if (status == kUnprocessable) return ErrorCode::kInvalid;
  return ErrorCode::kRefused;
}

}  // namespace

void ask(ApiClient& client, ApiClient::Request request, Done<ApiClient::Answer> done) {
  client.send(std::move(request),
              {.begun = {}, .line = {}, .done = [done = std::move(done)](ApiClient::Answer answer) {
                 if (!answer.error.empty()) return done(fail(ErrorCode::kTimeout, "the API server: {}", answer.error));
                 if (answer.status != kOk && answer.status != kCreated)
                   return done(fail(code_of(answer.status), "the API server: {}", what_it_says(answer)));
                 done(std::move(answer));
               }});
}

std::string micro_time(std::chrono::seconds after) {
  const auto now = std::chrono::system_clock::now() + after;
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count() % 1'000'000;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(now)), micros);
}

}  // namespace leat::kubernetes
