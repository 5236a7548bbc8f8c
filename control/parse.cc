#include "control/parse.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "control/field.h"
#include "control/read_object.h"

namespace leat::control {
namespace {

// Kinds that ordinary manifests are full of, and that a mesh has nothing to do with.
constexpr std::array<std::string_view, 33> kSilentKinds = {"ClusterRole",
                                                           "ClusterRoleBinding",
                                                           "ConfigMap",
                                                           "ControllerRevision",
                                                           "CronJob",
                                                           "CustomResourceDefinition",
                                                           "DaemonSet",
                                                           "Deployment",
                                                           "Endpoints",
                                                           "Event",
                                                           "HorizontalPodAutoscaler",
                                                           "Ingress",
                                                           "IngressClass",
                                                           "Job",
                                                           "Lease",
                                                           "LimitRange",
                                                           "MutatingWebhookConfiguration",
                                                           "NetworkPolicy",
                                                           "PersistentVolume",
                                                           "PersistentVolumeClaim",
                                                           "PodDisruptionBudget",
                                                           "PodTemplate",
                                                           "PriorityClass",
                                                           "ReplicaSet",
                                                           "ReplicationController",
                                                           "ResourceQuota",
                                                           "Role",
                                                           "RoleBinding",
                                                           "ServiceAccount",
                                                           "StatefulSet",
                                                           "StorageClass",
                                                           "ValidatingWebhookConfiguration"};

// Groups whose objects configure a mesh: one that Leat does not act on must not be believed to work.
constexpr std::array<std::string_view, 6> kMeshGroups = {"networking.istio.io",       "security.istio.io",
                                                         "telemetry.istio.io",        "extensions.istio.io",
                                                         "gateway.networking.k8s.io", "leat.dev"};

std::string_view group_of(std::string_view api_version) {
  const size_t slash = api_version.find('/');
  return slash == std::string_view::npos ? std::string_view() : api_version.substr(0, slash);
}

bool is_listed(std::string_view api_version, std::string_view api_versions) {
  while (!api_versions.empty()) {
    const size_t end = std::min(api_versions.find(' '), api_versions.size());
    if (api_versions.substr(0, end) == api_version) return true;
    api_versions.remove_prefix(std::min(end + 1, api_versions.size()));
  }
  return false;
}

class FileParser {
 public:
  FileParser(const std::string& file, const std::string& default_namespace)
      : file_(file), default_namespace_(default_namespace) {}

  // One document; `lines_before` of it in the file.
  void read_document(std::string_view text, int lines_before) {
    try {
      const Result<Value> document = to_value(YAML::Load(std::string(text)), text.size());
      if (!document) return refuse_document(lines_before + 1, document.error().message);
      read_value(*document, lines_before, /*in_list=*/false);
    } catch (const YAML::Exception& error) {
      refuse_document(lines_before + (error.mark.is_null() ? 1 : error.mark.line + 1), "not YAML: " + error.msg);
    }
  }

  Parsed take() && {
    sort_findings(parsed_.findings);
    return std::move(parsed_);
  }

 private:
  void refuse_document(int line, const std::string& reason) {
    parsed_.findings.push_back(make_finding(Severity::kError, {file_, line}, "", "",
                                            fmt::format("{}; what this document said before stays in force", reason)));
    parsed_.whole = false;
  }

  void read_value(const Value& value, int lines_before, bool in_list) {
    if (value.kind == Value::Kind::kNull) return;  // nothing but comments
    FindingSink sink{.file = file_, .first_line = lines_before, .object = "", .findings = parsed_.findings};
    const Field root(value, sink);
    // A List has no List in it.
    if (!in_list && root.is_map() && root["kind"].text_or() == "List") {
      for (const Field& item : root["items"].items()) read_value(*item.value(), lines_before, true);
      return;
    }
    ++parsed_.documents;
    read_object(root, sink);
    if (!sink.usable) parsed_.whole = false;
  }

  void read_object(const Field& root, FindingSink& sink) {
    if (!root.is_map()) return root.fatal("must be a Kubernetes object, a mapping with apiVersion, kind and metadata");
    const std::string kind = root["kind"].text_or();
    const std::string api_version = root["apiVersion"].text_or();
    const Reader* reader = find_reader(kind);
    // Names it as well as can be, for what is found on the way to its real name.
    const std::string name = root["metadata"].is_map() ? root["metadata"]["name"].text_or() : "";
    sink.object = kind.empty() ? name : fmt::format("{} {}", kind, name);
    if (kind.empty()) return root["kind"].fatal("missing: say what kind of object this is");

    if (reader == nullptr || !is_listed(api_version, reader->api_versions))
      return note_unread(root, kind, api_version, reader);

    if (auto object = control::read_document(*root.value(), *reader, default_namespace_, sink))
      parsed_.objects.push_back(std::move(*object));
  }

  static void note_unread(const Field& root, const std::string& kind, const std::string& api_version,
                          const Reader* reader) {
    const std::string_view group = group_of(api_version);
    if (reader != nullptr && (api_version.empty() || group == group_of(reader->api_versions))) {
      return root["apiVersion"].fatal(
          fmt::format("must be one of: {}; not '{}'; the object is left out", reader->api_versions, api_version));
    }
    if (std::ranges::find(kMeshGroups, group) != kMeshGroups.end()) {
      return root["kind"].warn(fmt::format("{} of {} is not supported yet; the object has no effect", kind, group));
    }
    if (std::ranges::find(kSilentKinds, kind) == kSilentKinds.end())
      root["kind"].warn("unknown kind; the object has no effect");
  }

  const std::string& file_;
  const std::string& default_namespace_;
  Parsed parsed_;
};

bool starts_document(std::string_view line) {
  return line.starts_with("---") && (line.size() == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\r');
}

}  // namespace

// A line that starts with "---" separates documents wherever it stands (YAML 1.2, 9.1.2), so that text can be cut
// without parsing it.
Parsed parse(std::string_view text, const std::string& file, const std::string& default_namespace) {
  FileParser parser(file, default_namespace);
  size_t document_begin = 0;
  int document_line = 0;
  int line = 0;
  for (size_t begin = 0; begin < text.size(); ++line) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (begin > document_begin && starts_document(text.substr(begin, end - begin))) {
      parser.read_document(text.substr(document_begin, begin - document_begin), document_line);
      document_begin = begin;
      document_line = line;
    }
    begin = end + 1;
  }
  parser.read_document(text.substr(document_begin), document_line);
  return std::move(parser).take();
}

}  // namespace leat::control
