#include "control/read_route_actions.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>

#include <fmt/format.h>

#include "common/regex.h"
#include "control/base64.h"
#include "control/read_cors.h"
#include "control/read_retries.h"
#include "control/text.h"

namespace leat::control {
namespace {

// A larger one has a home in a server.
constexpr size_t kMaxBodyBytes = 64 * 1024;

bool is_visible(char letter) { return letter > ' ' && letter < 0x7f; }

// A host with or without a port, as a Host header has it.
bool is_authority(const Field& place, std::string_view text) {
  constexpr std::string_view kWrong = "/?#@\\\"<>^`{|}";
  if (std::ranges::all_of(text, [&](char letter) { return is_visible(letter) && !kWrong.contains(letter); }))
    return true;
  place.error(fmt::format("must be a host with or without a port, not '{}'; ignored", text));
  return false;
}

// ---- headers

// Istio's words for the Host of a request, which may be set and nothing else.
bool means_host(std::string_view lower_name) { return lower_name == "host" || lower_name == ":authority"; }

using Lines = google::protobuf::RepeatedPtrField<v1::HeaderLine>;

void read_lines(const Field& field, bool may_set_host, Lines& lines) {
  for (const auto& [name, value] : field.entries()) {
    const std::string lower_name = lower_case(name);
    const auto text = value.text();
    if (!text || !is_header_value(value, *text)) continue;
    if (may_set_host && means_host(lower_name)) {
      if (!is_authority(value, *text)) continue;
    } else if (!may_edit_header(value, lower_name)) {
      continue;
    }
    v1::HeaderLine& line = *lines.Add();
    line.set_name(means_host(lower_name) ? "host" : lower_name);
    line.set_value(*text);
  }
}

void read_removed(const Field& field, google::protobuf::RepeatedPtrField<std::string>& names) {
  for (const Field& item : field.items()) {
    const auto name = item.text();
    if (name && may_edit_header(item, lower_case(*name))) *names.Add() = lower_case(*name);
  }
}

// ---- another address

void read_rewrite(const Field& field, v1::HttpRoute& route) {
  if (!field.present()) return;
  v1::Rewrite rewrite;
  const auto authority = field["authority"].text();
  if (authority && is_authority(field["authority"], *authority)) rewrite.set_authority(*authority);
  const auto uri = field["uri"].text();
  if (uri && !uri->empty() && is_path(field["uri"], *uri, /*with_query=*/false)) rewrite.set_prefix(*uri);
  if (const Field regex = field["uriRegexRewrite"]; regex.present()) {
    if (uri) return regex.error("there is `uri` too; one of the two, so the path stays as it is");
    const std::string match = regex["match"].text_or();
    const std::string written = regex["rewrite"].text_or();
    const auto substitution = Substitution::compile(match, written);
    if (match.empty() || !substitution) {
      return regex.error(fmt::format("can't be used, so paths stay as they are: {}",
                                     match.empty() ? "no match" : substitution.error().message));
    }
    if (!is_path(regex["rewrite"], written, /*with_query=*/false)) return;
    rewrite.mutable_regex()->set_match(match);
    rewrite.mutable_regex()->set_rewrite(written);
  }
  if (rewrite.ByteSizeLong() > 0) *route.mutable_rewrite() = std::move(rewrite);
}

void read_redirect_code(const Field& field, v1::Redirect& redirect) {
  constexpr std::array<uint32_t, 5> kCodes = {301, 302, 303, 307, 308};
  redirect.set_code(301);
  const auto code = field.number(0, 999);
  if (!code || *code == 0) return;
  if (std::ranges::find(kCodes, *code) == kCodes.end()) {
    return field.error(fmt::format("must be 301, 302, 303, 307 or 308, not {}; 301 is used", *code));
  }
  redirect.set_code(*code);
}

void read_redirect(const Field& field, v1::HttpRoute& route) {
  if (!field.present()) return;
  v1::Redirect& redirect = *route.mutable_redirect();
  const auto uri = field["uri"].text();
  const auto prefix = field["prefixRewrite"].text();
  if (uri && prefix) field["prefixRewrite"].error("there is `uri` too, which holds");
  if (uri && is_path(field["uri"], *uri, /*with_query=*/true)) {
    redirect.set_path(*uri);
  } else if (prefix && is_path(field["prefixRewrite"], *prefix, /*with_query=*/false)) {
    redirect.set_path(*prefix);
    redirect.set_path_is_prefix(true);
  }
  const auto authority = field["authority"].text();
  if (authority && is_authority(field["authority"], *authority)) redirect.set_authority(*authority);
  const auto scheme = field["scheme"].text();
  if (scheme && (*scheme == "http" || *scheme == "https")) {
    redirect.set_scheme(*scheme);
  } else if (scheme && !scheme->empty()) {
    field["scheme"].error(fmt::format("must be http or https, not '{}'; the request's is used", *scheme));
  }
  if (const auto port = field["port"].port()) redirect.set_port(*port);
  const auto derived = field["derivePort"].text();
  if (derived == "FROM_REQUEST_PORT") {
    redirect.set_port_of_request(true);
  } else if (derived && *derived != "FROM_PROTOCOL_DEFAULT") {
    field["derivePort"].error(
        fmt::format("must be FROM_PROTOCOL_DEFAULT or FROM_REQUEST_PORT, not '{}'; the first is used", *derived));
  }
  read_redirect_code(field["redirectCode"], redirect);
  const bool leads_back =
      redirect.path().empty() && redirect.authority().empty() && redirect.scheme() != "https" && redirect.port() == 0;
  if (!leads_back) return;
  field.error("would lead clients to where they come from, so it is ignored");
  route.clear_redirect();
}

// ---- an answer made here

void read_direct_response(const Field& field, v1::HttpRoute& route) {
  if (!field.present()) return;
  const auto status = field["status"].number(200, 599);
  if (!status) return field.error("has no status that can be used, so it is ignored");
  v1::DirectResponse response;
  response.set_status(*status);
  const Field body = field["body"];
  if (const auto text = body["string"].text()) response.set_body(*text);
  if (const auto encoded = body["bytes"].text()) {
    const auto bytes = decode_base64(*encoded);
    if (!bytes) body["bytes"].error("must be base64; the body is empty");
    response.set_body(bytes.value_or(""));
  }
  if (response.body().size() > kMaxBodyBytes) {
    body.error(
        fmt::format("has {} bytes, and at most {} are sent; the body is empty", response.body().size(), kMaxBodyBytes));
    response.clear_body();
  }
  *route.mutable_direct_response() = std::move(response);
}

// ---- faults

constexpr std::array<std::string_view, 17> kGrpcCodes = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

// Without a percentage every request is meant.
double read_share(const Field& fault) {
  if (fault["percentage"].present()) return read_percent(fault["percentage"]["value"]).value_or(0);
  if (fault["percent"].present()) return read_percent(fault["percent"]).value_or(0);
  return 100;
}

void read_delay(const Field& field, v1::Fault& fault) {
  if (!field.present()) return;
  const auto delay = field["fixedDelay"].duration_ms();
  if (!delay || *delay == 0) return field["fixedDelay"].error("must be at least 1ms; no request is delayed");
  fault.set_delay_ms(*delay);
  fault.set_delay_percent(read_share(field));
}

void read_abort(const Field& field, v1::Fault& fault) {
  if (!field.present()) return;
  const auto status = field["httpStatus"].number(200, 599);
  const auto grpc = field["grpcStatus"].text();
  const auto code = std::ranges::find(kGrpcCodes, grpc.value_or(""));
  if (!status && code == kGrpcCodes.end()) {
    return field.error("needs an httpStatus, 200 to 599, or a grpcStatus such as UNAVAILABLE; no request is aborted");
  }
  if (status) {
    fault.set_abort_status(*status);
  } else {
    fault.set_abort_grpc_status(static_cast<uint32_t>(code - kGrpcCodes.begin()));
  }
  fault.set_abort_percent(read_share(field));
}

void read_fault(const Field& field, v1::HttpRoute& route) {
  v1::Fault fault;
  read_delay(field["delay"], fault);
  read_abort(field["abort"], fault);
  if (fault.delay_percent() > 0 || fault.abort_percent() > 0) *route.mutable_fault() = fault;
}

}  // namespace

bool is_token(std::string_view text) {
  constexpr std::string_view kSeparators = "\"(),/:;<=>?@[\\]{}";
  return !text.empty() &&
         std::ranges::all_of(text, [&](char letter) { return is_visible(letter) && !kSeparators.contains(letter); });
}

bool may_edit_header(const Field& place, std::string_view name) {
  constexpr std::array<std::string_view, 12> kOfTheHop = {"connection",
                                                          "content-length",
                                                          "http2-settings",
                                                          "keep-alive",
                                                          "proxy-authenticate",
                                                          "proxy-authorization",
                                                          "proxy-connection",
                                                          "te",
                                                          "trailer",
                                                          "transfer-encoding",
                                                          "upgrade",
                                                          "host"};
  const std::string lower_name = lower_case(std::string(name));
  if (means_host(lower_name)) {
    place.error("the Host of a request can be set, and nothing else; ignored");
    return false;
  }
  if (std::ranges::find(kOfTheHop, lower_name) != kOfTheHop.end()) {
    place.error(fmt::format("'{}' is what the proxy says for itself to each side; ignored", name));
    return false;
  }
  if (is_token(name)) return true;
  place.error(fmt::format("'{}' can't be the name of a header; ignored", name));
  return false;
}

bool is_header_value(const Field& place, std::string_view value) {
  const auto control = [](char letter) { return (letter >= 0 && letter < ' ' && letter != '\t') || letter == 0x7f; };
  const auto blank = [](char letter) { return letter == ' ' || letter == '\t'; };
  const bool padded = !value.empty() && (blank(value.front()) || blank(value.back()));
  if (padded || std::ranges::any_of(value, control)) {
    place.error("can't be the value of a header: it has a control character, or a blank at an end; ignored");
    return false;
  }
  if (value.contains('%')) place.warn("Envoy's words between % are not supported; the value is sent as it stands");
  return true;
}

bool is_path(const Field& place, std::string_view path, bool with_query) {
  const bool valid = std::ranges::all_of(
      path, [&](char letter) { return is_visible(letter) && letter != '#' && (with_query || letter != '?'); });
  if (!valid) place.error(fmt::format("'{}' can't stand in a path; the path stays as it is", path));
  return valid;
}

std::optional<double> read_percent(const Field& field) {
  const auto text = field.text();
  if (!text) return std::nullopt;
  double percent = 0;
  const auto [end, status] = std::from_chars(text->data(), text->data() + text->size(), percent);
  if (status == std::errc{} && end == text->data() + text->size() && percent >= 0 && percent <= 100) return percent;
  field.error(fmt::format("must be a number, 0 to 100, not '{}'; 0 is taken", *text));
  return 0;
}

void read_header_edits(const Field& headers, v1::HeaderEdits& edits) {
  const Field request = headers["request"];
  const Field response = headers["response"];
  read_lines(request["set"], /*may_set_host=*/true, *edits.mutable_request_set());
  read_lines(request["add"], /*may_set_host=*/false, *edits.mutable_request_add());
  read_removed(request["remove"], *edits.mutable_request_remove());
  read_lines(response["set"], /*may_set_host=*/false, *edits.mutable_response_set());
  read_lines(response["add"], /*may_set_host=*/false, *edits.mutable_response_add());
  read_removed(response["remove"], *edits.mutable_response_remove());
}

void read_actions(const Field& entry, v1::HttpRoute& route) {
  if (entry["headers"].present()) read_header_edits(entry["headers"], *route.mutable_headers());
  read_rewrite(entry["rewrite"], route);
  if (entry["redirect"].present() && entry["directResponse"].present()) {
    entry["directResponse"].error("there is a redirect too, which holds; ignored");
  } else {
    read_direct_response(entry["directResponse"], route);
  }
  read_redirect(entry["redirect"], route);
  read_fault(entry["fault"], route);
  if (entry["corsPolicy"].present()) *route.mutable_cors() = read_cors(entry["corsPolicy"]);
  route.set_timeout_ms(entry["timeout"].duration_ms().value_or(0));
  if (entry["retries"].present()) *route.mutable_retries() = read_retries(entry["retries"]);
}

}  // namespace leat::control
