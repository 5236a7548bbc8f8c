#include "control/read_telemetry.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include <fmt/format.h>

#include "common/access_filter.h"
#include "common/access_log_format.h"
#include "control/text.h"

namespace leat::control {
namespace {

constexpr double kDefaultSamplingPercent = 1;  // Istio's
constexpr std::string_view kOtlpPath = "/v1/traces";
constexpr uint16_t kOtlpPort = 4318;

std::optional<double> read_percent(const Field& field) {
  const auto text = field.text();
  if (!text) return std::nullopt;
  double percent = -1;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), percent);
  if (error == std::errc() && end == text->data() + text->size() && percent >= 0 && percent <= 100) return percent;
  field.error(fmt::format("must be 0 to 100, not '{}'; ignored", *text));
  return std::nullopt;
}

// What stands in front of the port: an address, or NAME.NAMESPACE with or without the rest of a Service's name.
bool is_collector_host(std::string_view host) {
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (IpAddress::parse(host)) return true;
  const size_t dot = host.find('.');
  if (dot == 0 || dot == std::string_view::npos) return false;
  const std::string_view rest = host.substr(dot + 1);
  const std::string_view domain = rest.substr(std::min(rest.find('.'), rest.size()));
  return !rest.empty() && rest[0] != '.' && (domain.empty() || domain == ".svc" || domain == ".svc.cluster.local");
}

// In one form: scheme, host, port and path are all there.
std::optional<std::string> read_collector(const Field& field) {
  const auto text = field.text();
  if (!text) return std::nullopt;
  const auto refuse = [&](std::string_view why) {
    field.error(fmt::format("'{}' {}; no span is sent", *text, why));
    return std::nullopt;
  };
  constexpr std::string_view kScheme = "http://";
  std::string_view rest = *text;
  if (!rest.starts_with(kScheme))
    return refuse("must begin with http:// (OTLP over HTTP; in the mesh it is encrypted on its way between nodes)");
  rest.remove_prefix(kScheme.size());
  const size_t path_at = std::min(rest.find('/'), rest.size());
  const std::string_view path = rest.substr(path_at).size() > 1 ? rest.substr(path_at) : kOtlpPath;
  std::string_view host = rest.substr(0, path_at);
  uint16_t port = kOtlpPort;
  const size_t colon = host.rfind(':');
  if (colon != std::string_view::npos && !host.ends_with(']')) {
    const auto number = parse_port(host.substr(colon + 1));
    if (!number) return refuse("has a wrong port");
    port = *number;
    host = host.substr(0, colon);
  }
  if (std::ranges::any_of(path, [](char c) { return c <= ' ' || c >= 0x7f; })) return refuse("has a wrong path");
  if (!is_collector_host(host)) return refuse("must name a Service (NAME.NAMESPACE) or an IP address");
  return fmt::format("{}{}:{}{}", kScheme, host, port, path);
}

// What the proxy writes of its own may not be written twice, and no value may end its line.
void read_collector_headers(const Field& field, v1::Tracing& out) {
  constexpr std::array<std::string_view, 7> kOurs = {
      "host", "content-length", "content-type", "content-encoding", "connection", "transfer-encoding", "user-agent"};
  for (const auto& [key, value] : field.entries()) {
    const std::string name = lower_case(std::string(key));
    const std::string text = value.text_or();
    const auto fits_name = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_'; };
    const auto fits_value = [](char c) { return c == '\t' || (c >= ' ' && c < 0x7f); };
    if (name.empty() || !std::ranges::all_of(name, fits_name) || std::ranges::find(kOurs, name) != kOurs.end()) {
      value.error("is no header that can be added; ignored");
      continue;
    }
    if (text.empty() || !std::ranges::all_of(text, fits_value)) {
      value.error("must be printable ASCII on one line; ignored");
      continue;
    }
    v1::HeaderLine& line = *out.add_headers();
    line.set_name(name);
    line.set_value(text);
  }
}

void read_tracing(const Field& tracing, v1::MeshSettings& settings) {
  if (!tracing.present()) return;
  v1::Tracing& out = *settings.mutable_tracing();
  out.set_sampling_percent(read_percent(tracing["samplingPercentage"]).value_or(kDefaultSamplingPercent));
  if (auto collector = read_collector(tracing["otlp"])) out.set_otlp_endpoint(std::move(*collector));
  read_collector_headers(tracing["headers"], out);
  if (const Field compression = tracing["compression"]; compression.present()) {
    const std::string word = compression.text_or();
    if (word != "gzip" && word != "none")
      compression.error(fmt::format("must be gzip or none, not '{}'; none is used", word));
    out.set_gzip(word == "gzip");
  }
}

std::string json_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

// A line, or for JSON a mapping of names to formats.
std::string read_log_format(const Field& field, bool json) {
  if (!field.present()) return {};
  std::string format;
  if (json) {
    for (const auto& [key, value] : field.entries())
      format += fmt::format("{}{}:{}", format.empty() ? "{" : ",", json_text(key), json_text(value.text_or()));
    if (format.empty()) return {};
    format += '}';
  } else {
    format = field.text_or();
  }
  const auto valid = json ? LogFormat::json(format) : LogFormat::line(format);
  if (valid) return format;
  field.error(fmt::format("{}; the default format is used", valid.error().message));
  return {};
}

void read_access_log(const Field& log, v1::MeshSettings& settings) {
  if (!log.present()) return;
  v1::AccessLog& out = *settings.mutable_access_log();
  out.set_on(log["enabled"].boolean().value_or(true));
  const std::string encoding = log["encoding"].text_or("TEXT");
  if (encoding != "TEXT" && encoding != "JSON")
    log["encoding"].error(fmt::format("must be TEXT or JSON, not '{}'; TEXT is used", encoding));
  out.set_json(encoding == "JSON");
  out.set_format(read_log_format(log["format"], out.json()));
  if (const auto text = log["linesPerSecond"].text()) {
    uint32_t lines = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), lines);
    if (error == std::errc() && end == text->data() + text->size() && lines > 0) {
      out.set_lines_a_second(lines);
    } else {
      log["linesPerSecond"].error(fmt::format("must be a number above 0, not '{}'; ignored", *text));
    }
  }
}

// Whether an entry of a Telemetry object is about what a pod sends, where requests are seen.
bool is_for_clients(const Field& entry) {
  const Field mode = entry["match"]["mode"];
  const std::string text = mode.text_or("CLIENT_AND_SERVER");
  if (text == "CLIENT" || text == "CLIENT_AND_SERVER") return true;
  if (text == "SERVER") {
    mode.warn("requests are seen at their client's side only; this entry has no effect");
  } else {
    mode.error(fmt::format("must be CLIENT, SERVER or CLIENT_AND_SERVER, not '{}'; this entry is left out", text));
  }
  return false;
}

void check_providers(const Field& entry, std::string_view known) {
  for (const Field& provider : entry["providers"].items()) {
    const std::string name = provider["name"].text_or();
    if (!known.empty() && name == known) continue;
    provider.warn(fmt::format("'{}' is not chosen: what the Mesh object says is the one provider", name));
  }
}

std::optional<v1::TraceTag> read_tag(const std::string& name, const Field& field) {
  v1::TraceTag tag;
  tag.set_name(name);
  if (const Field literal = field["literal"]; literal.present()) {
    tag.set_literal(literal["value"].text_or());
  } else if (const Field header = field["header"]; header.present()) {
    std::string header_name = header["name"].text_or();
    std::ranges::transform(header_name, header_name.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? c | 0x20 : c; });
    tag.set_header(std::move(header_name));
    tag.set_fallback(header["defaultValue"].text_or());
  } else if (const Field environment = field["environment"]; environment.present()) {
    // A pod's environment is not the proxy's, which serves all of a node.
    environment.warn("the proxy does not know its pods' environments; the tag has its default value");
    if (!environment["defaultValue"].present()) return std::nullopt;
    tag.set_literal(environment["defaultValue"].text_or());
  } else {
    field.error("must have literal, header or environment; the tag is left out");
    return std::nullopt;
  }
  return tag;
}

void read_tracing_entry(const Field& entry, Telemetry& telemetry) {
  check_providers(entry, {});
  if (const auto percent = read_percent(entry["randomSamplingPercentage"])) telemetry.sampling_percent = percent;
  if (const auto disabled = entry["disableSpanReporting"].boolean()) telemetry.tracing_disabled = disabled;
  if (!entry["customTags"].present()) return;
  telemetry.tags.emplace();
  for (const auto& [name, field] : entry["customTags"].entries()) {
    if (auto tag = read_tag(name, field)) telemetry.tags->push_back(std::move(*tag));
  }
  std::ranges::sort(*telemetry.tags, {}, [](const auto& tag) -> const std::string& { return tag.name(); });
}

void read_log_entry(const Field& entry, Telemetry& telemetry) {
  check_providers(entry, "envoy");  // Istio's name for standard output
  Telemetry::AccessLog log{.on = !entry["disabled"].boolean().value_or(false)};
  const Field expression = entry["filter"]["expression"];
  log.filter = expression.text_or();
  if (!log.filter.empty()) {
    if (const auto valid = AccessFilter::compile(log.filter); !valid) {
      expression.error(fmt::format("{}; this entry is left out", valid.error().message));
      return;
    }
  }
  telemetry.access_log = std::move(log);
}

}  // namespace

Object read_telemetry(const Field& root, Meta meta) {
  Telemetry telemetry{.meta = std::move(meta)};
  const Field spec = root["spec"];
  telemetry.selector = spec["selector"]["matchLabels"].labels();
  for (const Field& entry : spec["tracing"].items()) {
    if (is_for_clients(entry)) read_tracing_entry(entry, telemetry);
  }
  for (const Field& entry : spec["accessLogging"].items()) {
    if (is_for_clients(entry)) read_log_entry(entry, telemetry);
  }
  return telemetry;
}

void read_mesh_telemetry(const Field& spec, v1::MeshSettings& settings) {
  read_tracing(spec["tracing"], settings);
  read_access_log(spec["accessLog"], settings);
}

}  // namespace leat::control
