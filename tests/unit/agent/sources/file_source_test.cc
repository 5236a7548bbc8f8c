#include "agent/sources/file_source.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <stdlib.h>

#include <chrono>
#include <fstream>

#include <fmt/format.h>

using namespace leat;
using control::Name;
using control::Pod;
using sources::FileSource;
namespace fs = std::filesystem;

namespace {

std::string pod(const std::string& name, const std::string& node = "node-a") {
  return fmt::format("apiVersion: v1\nkind: Pod\nmetadata: {{name: {}}}\nspec: {{nodeName: {}}}\n---\n", name, node);
}

// A folder of objects with a source on it, in a temporary folder of its own.
class Folder {
 public:
  Folder() {
    std::string pattern = fs::temp_directory_path() / "leat-source-XXXXXX";
    base_ = mkdtemp(pattern.data());
    root = base_ / "objects";
    fs::create_directory(root);
  }
  ~Folder() { fs::remove_all(base_); }

  void write(const std::string& name, const std::string& text) const { std::ofstream(root / name) << text; }
  void write_by_rename(const std::string& name, const std::string& text) const {
    std::ofstream(base_ / "temporary") << text;
    fs::rename(base_ / "temporary", root / name);
  }
  std::unique_ptr<FileSource> open() const {
    auto source = FileSource::open(root);
    REQUIRE(source);
    return std::move(*source);
  }

  fs::path root;

 private:
  fs::path base_;
};

// Waits until something changes, in however many events.
bool changes(FileSource& source) {
  pollfd ready{source.fd(), POLLIN, 0};
  while (::poll(&ready, 1, 5000) == 1) {
    if (source.poll_changes()) return true;
  }
  return false;
}

std::string node_of(const FileSource& source, const Name& name) {
  const Pod* found = source.objects().find<Pod>(name);
  return found == nullptr ? "none" : found->node;
}

}  // namespace

TEST_CASE("all manifests of the folder and its subfolders are read, each in its namespace") {
  Folder folder;
  folder.write("a.yaml", pod("a") + pod("b"));
  fs::create_directory(folder.root / "shop");
  folder.write("shop/c.yml", pod("c"));
  folder.write("shop/d.json", R"({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "d"}})");
  folder.write("shop/.e.yaml.swp", "x: [");
  folder.write("notes.txt", "x: [");
  fs::create_directories(folder.root / "shop" / "deep");
  const auto source = folder.open();
  CHECK(source->objects().size() == 4);
  CHECK(source->objects().find<Pod>({"default", "b"}) != nullptr);
  CHECK(source->objects().find<Pod>({"shop", "c"}) != nullptr);
  CHECK(source->objects().find<Pod>({"shop", "d"}) != nullptr);
  REQUIRE(source->findings().size() == 1);
  CHECK(source->findings()[0].file() == (folder.root / "shop/deep").string());
}

TEST_CASE("a file that is written, renamed into place, renamed away or deleted is noticed") {
  Folder folder;
  const auto source = folder.open();
  folder.write("a.yaml", pod("a"));
  REQUIRE(changes(*source));
  CHECK(node_of(*source, {"default", "a"}) == "node-a");
  folder.write_by_rename("a.yaml", pod("a", "node-b"));
  REQUIRE(changes(*source));
  CHECK(node_of(*source, {"default", "a"}) == "node-b");
  fs::rename(folder.root / "a.yaml", folder.root / "a.off");
  REQUIRE(changes(*source));
  CHECK(node_of(*source, {"default", "a"}) == "none");
  fs::rename(folder.root / "a.off", folder.root / "b.yaml");
  REQUIRE(changes(*source));
  CHECK(node_of(*source, {"default", "a"}) == "node-b");
  fs::remove(folder.root / "b.yaml");
  REQUIRE(changes(*source));
  CHECK(source->objects().size() == 0);
  CHECK_FALSE(source->poll_changes());
}

TEST_CASE("a file is not read while it is being written") {
  Folder folder;
  folder.write("a.yaml", pod("a"));
  const auto source = folder.open();
  std::ofstream half(folder.root / "a.yaml");
  half << "apiVersion: v1\nkind: P" << std::flush;
  CHECK_FALSE(source->poll_changes());
  CHECK(node_of(*source, {"default", "a"}) == "node-a");
  half << "od\nmetadata: {name: z}\n";
  half.close();
  REQUIRE(changes(*source));
  CHECK(node_of(*source, {"default", "a"}) == "none");
  CHECK(source->objects().find<Pod>({"default", "z"}) != nullptr);
}

TEST_CASE("a broken document is named, and what it said before stays in force until the file is whole again") {
  Folder folder;
  folder.write("a.yaml", pod("a") + pod("b"));
  const auto source = folder.open();
  folder.write("a.yaml", "kind: [\n---\n" + pod("b", "node-b") + pod("c"));
  REQUIRE(changes(*source));
  CHECK(node_of(*source, {"default", "a"}) == "node-a");
  CHECK(node_of(*source, {"default", "b"}) == "node-b");
  CHECK(node_of(*source, {"default", "c"}) == "node-a");
  REQUIRE(source->findings().size() == 1);
  CHECK(source->findings()[0].severity() == "error");
  folder.write("a.yaml", pod("b"));
  REQUIRE(changes(*source));
  CHECK(source->objects().size() == 1);
  CHECK(source->findings().empty());
}

TEST_CASE("an editor that moves the old file away before it writes the new one takes nothing out of force") {
  Folder folder;
  folder.write("a.yaml", pod("a"));
  const auto source = folder.open();
  fs::rename(folder.root / "a.yaml", folder.root / "a.yaml~");
  CHECK_FALSE(source->poll_changes());
  std::ofstream fresh(folder.root / "a.yaml");
  fresh << "apiVersion: v1\nkind: P" << std::flush;
  pollfd ready{source->fd(), POLLIN, 0};
  while (::poll(&ready, 1, 100) == 1) CHECK_FALSE(source->poll_changes());  // longer than it is waited for
  CHECK(node_of(*source, {"default", "a"}) == "node-a");
  fresh << "od\nmetadata: {name: a}\nspec: {nodeName: node-b}\n";
  fresh.close();
  REQUIRE(changes(*source));
  CHECK(node_of(*source, {"default", "a"}) == "node-b");
}

TEST_CASE("a file that gets another name is at no time there twice") {
  Folder folder;
  folder.write("a.yaml", pod("a"));
  const auto source = folder.open();
  fs::rename(folder.root / "a.yaml", folder.root / "b.yaml");
  REQUIRE(changes(*source));
  CHECK(node_of(*source, {"default", "a"}) == "node-a");
  CHECK(source->findings().empty());
}

TEST_CASE("two edits of one size within one tick of the clock are both seen") {
  Folder folder;
  folder.write("a.yaml", pod("a", "node-a"));
  const auto source = folder.open();
  for (int round = 0; round < 50; ++round) {
    const std::string node = round % 2 == 0 ? "node-b" : "node-a";
    folder.write("a.yaml", pod("a", node));
    REQUIRE(changes(*source));
    REQUIRE(node_of(*source, {"default", "a"}) == node);
  }
}

TEST_CASE("an object in two files counts where it stands first by path, and passes on when that file goes") {
  Folder folder;
  folder.write("b.yaml", pod("a", "node-b"));
  const auto source = folder.open();
  folder.write("a.yaml", pod("a", "node-a"));
  REQUIRE(changes(*source));
  CHECK(node_of(*source, {"default", "a"}) == "node-a");
  REQUIRE(source->findings().size() == 1);
  CHECK(source->findings()[0].file() == (folder.root / "b.yaml").string());
  fs::remove(folder.root / "a.yaml");
  REQUIRE(changes(*source));
  CHECK(node_of(*source, {"default", "a"}) == "node-b");
  CHECK(source->findings().empty());
}

TEST_CASE("subfolders come and go with their objects") {
  Folder folder;
  const auto source = folder.open();
  fs::create_directory(folder.root / "shop");
  folder.write("shop/a.yaml", pod("a"));
  REQUIRE(changes(*source));
  CHECK(node_of(*source, {"shop", "a"}) == "node-a");
  folder.write("shop/b.yaml", pod("b"));
  REQUIRE(changes(*source));
  CHECK(node_of(*source, {"shop", "b"}) == "node-a");
  fs::rename(folder.root / "shop", folder.root / "store");
  while (node_of(*source, {"shop", "a"}) != "none") REQUIRE(changes(*source));
  CHECK(node_of(*source, {"store", "a"}) == "node-a");
  folder.write("store/a.yaml", pod("a", "node-b"));
  REQUIRE(changes(*source));
  CHECK(node_of(*source, {"store", "a"}) == "node-b");
  fs::remove_all(folder.root / "store");
  while (node_of(*source, {"store", "a"}) != "none") REQUIRE(changes(*source));
  CHECK(source->objects().size() == 0);
}

TEST_CASE("the folder itself may be replaced: what it said stays in force meanwhile") {
  Folder folder;
  folder.write("a.yaml", pod("a"));
  const auto source = folder.open();
  const fs::path away = folder.root.parent_path() / "away";
  fs::rename(folder.root, away);
  REQUIRE(changes(*source));
  CHECK(node_of(*source, {"default", "a"}) == "node-a");
  CHECK(source->findings().size() == 1);
  const fs::path fresh = folder.root.parent_path() / "fresh";
  fs::create_directory(fresh);
  std::ofstream(fresh / "b.yaml") << pod("b");
  fs::rename(fresh, folder.root);
  while (node_of(*source, {"default", "a"}) != "none") REQUIRE(changes(*source));
  CHECK(node_of(*source, {"default", "b"}) == "node-a");
  CHECK(source->findings().empty());
  folder.write("b.yaml", pod("b", "node-b"));
  REQUIRE(changes(*source));
  CHECK(node_of(*source, {"default", "b"}) == "node-b");
}

TEST_CASE("a mounted ConfigMap is read through its links, and again when they swing") {
  Folder folder;
  for (const char* version : {"..v1", "..v2"}) {
    fs::create_directory(folder.root / version);
    std::ofstream(folder.root / version / "a.yaml") << pod("a", version);
  }
  fs::create_symlink("..v1", folder.root / "..data");
  fs::create_symlink("..data/a.yaml", folder.root / "a.yaml");
  const auto source = folder.open();
  CHECK(node_of(*source, {"default", "a"}) == "..v1");
  fs::create_symlink("..v2", folder.root / "..data_tmp");
  fs::rename(folder.root / "..data_tmp", folder.root / "..data");
  REQUIRE(changes(*source));
  CHECK(node_of(*source, {"default", "a"}) == "..v2");
}

TEST_CASE("an edit of one file among a thousand costs far less than the 100 ms that it may take in all") {
  Folder folder;
  for (int i = 0; i < 1000; ++i) folder.write(fmt::format("{}.yaml", i), pod(fmt::format("pod-{}", i)));
  const auto source = folder.open();
  CHECK(source->objects().size() == 1000);
  folder.write("500.yaml", pod("pod-500", "node-b"));
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(changes(*source));
  const auto took = std::chrono::steady_clock::now() - begin;
  CHECK(node_of(*source, {"default", "pod-500"}) == "node-b");
  MESSAGE("took ", std::chrono::duration_cast<std::chrono::microseconds>(took).count(), " us");
  CHECK(took < std::chrono::milliseconds(50));
}
