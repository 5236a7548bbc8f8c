#include "cli/lint.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>

#include <fmt/format.h>

#include "agent/sources/manifest_folder.h"
#include "control/compile.h"
#include "control/file_set.h"

namespace leat::cli {
namespace {

namespace fs = std::filesystem;

class Linter {
 public:
  void read(const std::string& path) {
    std::error_code error;
    if (path == "-") return parse(std::cin, "stdin", "default");
    if (!fs::is_directory(path, error)) return read_file({path, "default"});
    const sources::ManifestFolder folder = sources::list_manifests(path);
    for (const sources::Manifest& manifest : folder.manifests) read_file(manifest);
    result_.findings.insert(result_.findings.end(), folder.findings.begin(), folder.findings.end());
  }

  Linted take() && {
    control::Findings all = files_.findings();
    const control::Findings compiled = compile();
    all.insert(all.end(), compiled.begin(), compiled.end());
    all.insert(all.end(), result_.findings.begin(), result_.findings.end());
    control::sort_findings(all);
    const auto repeated = std::ranges::unique(all, [](const v1::Finding& left, const v1::Finding& right) {
      return left.SerializeAsString() == right.SerializeAsString();
    });
    all.erase(repeated.begin(), repeated.end());
    result_.findings = std::move(all);
    return std::move(result_);
  }

 private:
  void read_file(const sources::Manifest& manifest) {
    std::ifstream file(manifest.path);
    if (file) return parse(file, manifest.path, manifest.default_namespace);
    result_.unreadable.push_back(fmt::format("{} can't be read", manifest.path.native()));
  }

  void parse(std::istream& stream, const std::string& name, const std::string& default_namespace) {
    std::ostringstream text;
    text << stream.rdbuf();
    control::Parsed parsed = control::parse(text.str(), name, default_namespace);
    ++result_.files;
    result_.objects += parsed.documents;
    files_.put(name, std::move(parsed));
  }

  // As each node would: some findings are about a node's own pods.
  [[nodiscard]] control::Findings compile() const {
    std::set<std::string> nodes;
    for (const auto& [name, pod] : files_.objects().all<control::Pod>()) nodes.insert(pod.node);
    if (nodes.empty()) nodes.insert("");
    control::Findings all;
    for (const std::string& node : nodes) {
      control::Books books;
      const bool is_known = files_.objects().find<control::Node>({"", node}) != nullptr;
      for (v1::Finding& finding : control::Compiler(node, books).compile(files_.objects()).findings) {
        if (is_known || !finding.file().empty()) all.push_back(std::move(finding));
      }
    }
    return all;
  }

  control::FileSet files_;
  Linted result_;
};

bool is_error(const v1::Finding& finding) { return finding.severity() == "error"; }

std::string counted(size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

}  // namespace

Linted lint(const std::vector<std::string>& paths) {
  Linter linter;
  for (const std::string& path : paths) linter.read(path);
  return std::move(linter).take();
}

std::string lint_text(const Linted& linted, bool coloured) {
  Table table({});
  for (const v1::Finding& finding : linted.findings) {
    const std::string place =
        finding.line() > 0 ? fmt::format("{}:{}", finding.file(), finding.line()) : finding.file();
    const std::string what =
        finding.field().empty() ? finding.message() : fmt::format("{}: {}", finding.field(), finding.message());
    table.add(
        {{place, Cell(finding.severity(), is_error(finding) ? Colour::kRed : Colour::kYellow), finding.object(), what},
         ""});
  }
  return table.render(coloured) + fmt::format("{} in {} of {}\n", counted(linted.findings.size(), "finding"),
                                              counted(linted.objects, "object"), counted(linted.files, "file"));
}

Json lint_json(const Linted& linted) {
  Json list = Json::array();
  for (const v1::Finding& finding : linted.findings) {
    list.push_back({{"file", finding.file()},
                    {"line", finding.line()},
                    {"severity", finding.severity()},
                    {"object", finding.object()},
                    {"field", finding.field()},
                    {"message", finding.message()}});
  }
  return list;
}

bool has_errors(const Linted& linted) {
  return !linted.unreadable.empty() || std::ranges::any_of(linted.findings, is_error);
}

}  // namespace leat::cli
