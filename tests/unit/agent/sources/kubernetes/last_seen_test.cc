#include "agent/sources/kubernetes/last_seen.h"

#include <unistd.h>

#include <fstream>

#include <doctest/doctest.h>

#include "../../temporary_folder.h"
#include "agent/sources/kubernetes/api_json.h"

using leat::agent::TemporaryFolder;
using leat::sources::LastSeen;
using leat::sources::read_document;
using leat::sources::to_json;

namespace {

const std::vector<std::string_view> kKinds{"Pod", "Mesh"};

leat::control::Value document(const std::string& name, const std::string& value) {
  return *read_document(R"({"metadata":{"namespace":"shop","name":")" + name + R"("},"value":")" + value + R"("})");
}

LastSeen open(const TemporaryFolder& folder, const std::string& boot = "boot-1") {
  auto opened = LastSeen::open(folder.path + "/last-seen", boot);
  REQUIRE(opened);
  return std::move(*opened);
}

void list(LastSeen& last_seen, std::string_view kind, std::initializer_list<std::string> names) {
  last_seen.begin_list(kind);
  for (const std::string& name : names) last_seen.put(kind, document(name, "listed"));
  last_seen.end_list(kind);
}

// These pods, and that there is nothing else.
void hear(LastSeen& last_seen, std::initializer_list<std::string> names) {
  list(last_seen, "Pod", names);
  list(last_seen, "Mesh", {});
  last_seen.heard();
}

// name=value of each, in order
std::string pods(const LastSeen& last_seen) {
  const auto kept = last_seen.load(kKinds);
  REQUIRE_MESSAGE(kept, kept.error().message);
  std::string text;
  for (const auto& pod : kept->objects.at("Pod"))
    text += pod.find("metadata")->find("name")->text + "=" + pod.find("value")->text + " ";
  return text;
}

}  // namespace

TEST_CASE("a document is read back as it was written") {
  const std::string text = R"({"a":"\"quoted\" \\ and \u0001","b":["1",null,{}],"":{"c":[]}})";
  CHECK(to_json(*read_document(text)) == text);
}

TEST_CASE("what was listed and what changed since is what the next agent reads") {
  TemporaryFolder folder;
  {
    LastSeen last_seen = open(folder);
    list(last_seen, "Pod", {"a", "b", "c"});
    list(last_seen, "Mesh", {});
    last_seen.put("Pod", document("b", "edited"));
    last_seen.put("Pod", document("d", "new"));
    last_seen.remove("Pod", document("a", "gone"));
    last_seen.heard();
  }
  CHECK(pods(open(folder)) == "b=edited c=listed d=new ");
}

TEST_CASE("a list that did not come to its end leaves what was there before") {
  TemporaryFolder folder;
  LastSeen last_seen = open(folder);
  hear(last_seen, {"a", "b"});
  last_seen.begin_list("Pod");
  last_seen.put("Pod", document("c", "half a list"));
  CHECK(pods(last_seen) == "a=listed b=listed ");
}

TEST_CASE("a part of the truth is refused") {
  TemporaryFolder folder;
  LastSeen last_seen = open(folder);
  list(last_seen, "Pod", {"a", "b"});
  CHECK_FALSE(last_seen.load(kKinds));  // never was everything heard
  last_seen.heard();
  CHECK_FALSE(last_seen.load(kKinds));  // of Mesh nothing is known
  list(last_seen, "Mesh", {"m"});
  CHECK(last_seen.load(kKinds));
  CHECK_FALSE(open(folder, "boot-2").load(kKinds));

  const std::string file = folder.path + "/last-seen/Pod";
  SUBCASE("a list without its end") { REQUIRE(truncate(file.c_str(), 60) == 0); }
  SUBCASE("a damaged line") { std::ofstream(file, std::ios::app) << "+{\"metadata\n"; }
  SUBCASE("something else") { std::ofstream(file, std::ios::app) << std::string(10, '\0') << "\n"; }
  CHECK_FALSE(last_seen.load(kKinds));
}

TEST_CASE("a change that was cut off in the middle is as if it had not come") {
  TemporaryFolder folder;
  LastSeen last_seen = open(folder);
  hear(last_seen, {"a"});
  std::ofstream(folder.path + "/last-seen/Pod", std::ios::app) << R"(+{"metadata":{"name":)";
  CHECK(pods(last_seen) == "a=listed ");
}

TEST_CASE("a file does not grow without end") {
  TemporaryFolder folder;
  LastSeen last_seen = open(folder);
  hear(last_seen, {"a", "b"});
  const std::string big(1000, 'x');
  for (int i = 0; i < 5000; ++i) last_seen.put("Pod", document("a", big + std::to_string(i)));
  CHECK(pods(last_seen) == "a=" + big + "4999 b=listed ");
  CHECK(std::ifstream(folder.path + "/last-seen/Pod", std::ios::ate).tellg() < 3 << 20);
}

TEST_CASE("where nothing can be written nothing is kept") {
  TemporaryFolder folder;
  LastSeen last_seen = open(folder);
  hear(last_seen, {"a"});
  REQUIRE(last_seen.load(kKinds));
  std::filesystem::remove_all(folder.path + "/last-seen");
  last_seen.begin_list("Pod");
  std::filesystem::create_directories(folder.path + "/last-seen");
  last_seen.heard();
  CHECK_FALSE(last_seen.load(kKinds));
}
