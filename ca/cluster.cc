#include "ca/cluster.h"

#include <openssl/evp.h>

#include <array>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ca/limits.h"

namespace leat::ca {
namespace {

using nlohmann::json;
using Request = kubernetes::ApiClient::Request;

constexpr char kOrder[] = "leat.dev/rotate";
constexpr char kJson[] = "application/json", kApply[] = "application/apply-patch+yaml";
constexpr std::array<const char*, 3> kTrustBundleVersions{"v1", "v1beta1", "v1alpha1"};

// A path's segment: names of Kubernetes need no escape, others are no names.
Result<std::string> segment(const std::string& name) {
  const bool plain =
      !name.empty() &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == std::string::npos;
  if (!plain) return fail(ErrorCode::kDenied, "`{}` is no name of Kubernetes", name);
  return name;
}

std::string from_base64(const std::string& text) {
  std::string bytes(text.size() / 4 * 3 + 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (size < 0) return {};
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  bytes.resize(static_cast<size_t>(size) - padding);
  return bytes;
}

Cluster::Secret secret_of(const json& object) {
  Cluster::Secret secret{.fields = {},
                         .version = text_at(object, {"metadata", "resourceVersion"}),
                         .order = text_at(object, {"metadata", "annotations", kOrder})};
  const auto data = object.find("data");
  if (data == object.end() || !data->is_object()) return secret;
  for (const auto& [key, value] : data->items()) {
    if (value.is_string()) secret.fields[key] = from_base64(value.get<std::string>());
  }
  return secret;
}

}  // namespace

void Cluster::ask(Request request, Done<Answer> done) {
  request.deadline = limits::kApiDeadline;
  kubernetes::ask(client_, std::move(request), std::move(done));
}

// ---------------------------------------------------------------- callers

void Cluster::review(const std::string& token, const std::string& audience, Done<Caller> done) {
  const json review = {{"apiVersion", "authentication.k8s.io/v1"},
                       {"kind", "TokenReview"},
                       {"spec", {{"token", token}, {"audiences", {audience}}}}};
  ask({.method = "POST",
       .path = "/apis/authentication.k8s.io/v1/tokenreviews",
       .content_type = kJson,
       .body = review.dump(-1, ' ', false, json::error_handler_t::replace)},
      [audience, done = std::move(done)](Result<Answer> answer) {
        if (!answer) return done(std::unexpected(answer.error()));
        done(read_token_review(answer->body, audience));
      });
}

void Cluster::pods_of(const std::string& node, Done<std::vector<PodFacts>> done) {
  const auto name = segment(node);
  if (!name) return done(std::unexpected(name.error()));
  ask({.path = fmt::format("/api/v1/pods?fieldSelector=spec.nodeName%3D{}&resourceVersion=0", *name),
       .content_type = {},
       .body = {}},
      [done = std::move(done)](Result<Answer> answer) {
        if (!answer) return done(std::unexpected(answer.error()));
        done(read_pods(answer->body));
      });
}

void Cluster::pod(const std::string& ns, const std::string& name, Done<PodFacts> done) {
  const auto where = segment(ns), which = segment(name);
  if (!where || !which) return done(std::unexpected((where ? which : where).error()));
  ask({.path = fmt::format("/api/v1/namespaces/{}/pods/{}", *where, *which), .content_type = {}, .body = {}},
      [done = std::move(done)](Result<Answer> answer) {
        if (!answer) return done(std::unexpected(answer.error()));
        auto pods = read_pods(answer->body);
        if (!pods) return done(std::unexpected(pods.error()));
        if (pods->size() != 1) return done(fail(ErrorCode::kProtocol, "the API server gave no pod"));
        done(std::move(pods->front()));
      });
}

// ---------------------------------------------------------------- objects that are written

void Cluster::write(const std::string& collection, const std::string& name, bool exists, std::string body,
                    Done<void> done) {
  ask({.method = exists ? "PUT" : "POST",
       .path = exists ? collection + "/" + name : collection,
       .content_type = kJson,
       .body = std::move(body)},
      [done = std::move(done)](const Result<Answer>& answer) {
        if (!answer) return done(std::unexpected(answer.error()));
        done({});
      });
}

template <typename Object>
void Cluster::read(const std::string& path, const char* kind, Object (*parse)(const json&),
                   Done<std::optional<Object>> done) {
  ask({.path = path, .content_type = {}, .body = {}},
      [kind, parse, done = std::move(done)](const Result<Answer>& answer) {
        if (!answer && answer.error().code == ErrorCode::kNotFound) return done(std::nullopt);
        if (!answer) return done(std::unexpected(answer.error()));
        const json object = json::parse(answer->body, nullptr, false);
        if (!object.is_object()) return done(fail(ErrorCode::kProtocol, "the {} is no JSON object", kind));
        done(parse(object));
      });
}

void Cluster::secret(Done<std::optional<Secret>> done) {
  read<Secret>(fmt::format("/api/v1/namespaces/{}/secrets/{}", names_.ns, names_.secret), "Secret", secret_of,
               std::move(done));
}

void Cluster::write_secret(const std::map<std::string, std::string>& fields, const std::optional<Secret>& before,
                           Done<void> done) {
  json metadata = {{"name", names_.secret},
                   {"namespace", names_.ns},
                   {"labels", {{"app.kubernetes.io/name", "leat-ca"}, {"app.kubernetes.io/part-of", "leat"}}}};
  if (before) metadata["resourceVersion"] = before->version;
  if (before && !before->order.empty()) metadata["annotations"] = {{kOrder, before->order}};
  const json object = {{"apiVersion", "v1"},
                       {"kind", "Secret"},
                       {"type", "Opaque"},
                       {"metadata", std::move(metadata)},
                       {"stringData", fields}};
  write(fmt::format("/api/v1/namespaces/{}/secrets", names_.ns), names_.secret, before.has_value(), object.dump(),
        std::move(done));
}

void Cluster::lease(Done<std::optional<LeaseBook::Lease>> done) {
  kubernetes::read_lease(client_, {names_.ns, names_.lease}, std::move(done));
}

void Cluster::write_lease(const std::string& holder, std::chrono::seconds duration,
                          const std::optional<LeaseBook::Lease>& before, Done<void> done) {
  kubernetes::write_lease(client_, {names_.ns, names_.lease}, holder, duration, before, std::move(done));
}

// ---------------------------------------------------------------- what everybody may read

void Cluster::publish_config_map(const std::string& bundle_pem, Done<void> done) {
  const json object = {{"apiVersion", "v1"},
                       {"kind", "ConfigMap"},
                       {"metadata", {{"name", names_.config_map}, {"namespace", names_.ns}}},
                       {"data", {{"root-cert.pem", bundle_pem}}}};
  ask({.method = "PATCH",
       .path = fmt::format("/api/v1/namespaces/{}/configmaps/{}?fieldManager=leat-ca&force=true", names_.ns,
                           names_.config_map),
       .content_type = kApply,
       .body = object.dump()},
      [done = std::move(done)](const Result<Answer>& answer) {
        if (!answer) return done(std::unexpected(answer.error()));
        done({});
      });
}

void Cluster::publish_trust_bundle(const std::string& bundle_pem, Done<bool> done) {
  publish_trust_bundle_in(0, bundle_pem, std::move(done));
}

void Cluster::publish_trust_bundle_in(size_t version, const std::string& bundle_pem, Done<bool> done) {
  if (version == kTrustBundleVersions.size()) return done(false);
  const std::string api = fmt::format("certificates.k8s.io/{}", kTrustBundleVersions[version]);
  const json object = {{"apiVersion", api},
                       {"kind", "ClusterTrustBundle"},
                       {"metadata", {{"name", names_.config_map}}},
                       {"spec", {{"trustBundle", bundle_pem}}}};
  ask({.method = "PATCH",
       .path = fmt::format("/apis/{}/clustertrustbundles/{}?fieldManager=leat-ca&force=true", api, names_.config_map),
       .content_type = kApply,
       .body = object.dump()},
      [this, version, bundle_pem, done = std::move(done)](const Result<Answer>& answer) {
        if (answer) return done(true);
        if (answer.error().code == ErrorCode::kNotFound) return publish_trust_bundle_in(version + 1, bundle_pem, done);
        done(std::unexpected(answer.error()));
      });
}

}  // namespace leat::ca
