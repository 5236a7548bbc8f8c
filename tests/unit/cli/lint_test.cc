#include "cli/lint.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

using namespace leat;
using namespace leat::cli;
namespace fs = std::filesystem;

namespace {

class Manifests {
 public:
  Manifests() {
    std::string pattern = fs::temp_directory_path() / "leat-lint-XXXXXX";
    root = mkdtemp(pattern.data());
  }
  ~Manifests() { fs::remove_all(root); }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((root / name).parent_path());
    std::ofstream(root / name) << text;
  }
  fs::path root;
};

// The text with the folder's own name taken out.
std::string text_of(const Manifests& manifests, const Linted& linted) {
  std::string text = lint_text(linted, false);
  const std::string root = manifests.root.string() + "/";
  for (size_t at = text.find(root); at != std::string::npos; at = text.find(root)) text.erase(at, root.size());
  return text;
}

constexpr char kNamespace[] = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";

}  // namespace

TEST_CASE("lint names file, line, object and field, over all files together") {
  Manifests manifests;
  manifests.write("ns.yaml", kNamespace);
  manifests.write("shop/service.yaml",
                  "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  selector: {app: web}\n  prots: []\n  "
                  "ports: [{port: 80}]\n");
  const Linted linted = lint({manifests.root});
  CHECK(text_of(manifests, linted) ==
        "shop/service.yaml:1   warning   Service shop/web   spec.selector: selects no pod that runs\n"
        "shop/service.yaml:6   error     Service shop/web   spec.prots: unknown field, ignored; did you mean 'ports'?\n"
        "2 findings in 2 objects of 2 files\n");
  CHECK(has_errors(linted));
  CHECK(lint_json(linted)[1]["field"] == "spec.prots");
}

TEST_CASE("a pod of every node is looked at") {
  Manifests manifests;
  manifests.write("ns.yaml",
                  "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {leat.dev/mesh: enabled}}\n");
  for (const char* node : {"a", "b"}) {
    manifests.write(std::string("shop/") + node + ".yaml",
                    std::string("apiVersion: v1\nkind: Pod\nmetadata: {name: ") + node +
                        ", annotations: {leat.dev/netns: /n, leat.dev/exclude-inbound-ports: x}}\nspec: {nodeName: " +
                        node + "}\nstatus: {podIP: 10.0.0." + (*node == 'a' ? "1" : "2") + "}\n");
  }
  CHECK(lint({manifests.root}).findings.size() == 2);
}

TEST_CASE("clean manifests and warnings alone are no failure; a file that is not there is") {
  Manifests manifests;
  manifests.write("ns.yaml", kNamespace);
  CHECK_FALSE(has_errors(lint({manifests.root / "ns.yaml"})));
  manifests.write("odd.yaml", "apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w}\n");
  const Linted warned = lint({manifests.root});
  CHECK(warned.findings.size() == 1);
  CHECK_FALSE(has_errors(warned));
  CHECK(has_errors(lint({manifests.root / "nowhere.yaml"})));
}
