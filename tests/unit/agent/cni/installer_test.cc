#include "agent/cni/installer.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "agent/cni/limits.h"
#include "tests/unit/agent/temporary_folder.h"

using namespace leat::agent;
using leat::EventLoop;
namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

constexpr const char* kList =
    "{\n  \"cniVersion\": \"1.0.0\",\n  \"name\": \"pods\",\n  \"plugins\": [\n    {\"type\": \"bridge\"}\n  ]\n}\n";
constexpr const char* kSingle = "{\"cniVersion\": \"0.4.0\", \"name\": \"pods\", \"type\": \"bridge\"}\n";

struct Host {
  TemporaryFolder root;
  std::string conf = root.path + "/net.d", bin = root.path + "/bin";
  Cni config{.conf = conf, .bin = bin, .binary = root.path + "/leat-cni", .own_namespace = "leat-system"};

  Host() {
    fs::create_directories(conf);
    fs::create_directories(bin);
    std::ofstream(config.binary) << "program";
  }
  void write(const std::string& name, const std::string& text) const { std::ofstream(conf + "/" + name) << text; }
  [[nodiscard]] std::string read(const std::string& name) const {
    std::ifstream file(conf + "/" + name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  [[nodiscard]] bool has(const std::string& name) const { return fs::exists(conf + "/" + name); }
  [[nodiscard]] bool is_in(const std::string& name) const { return read(name).contains("leat-cni"); }
  [[nodiscard]] leat::Result<ConfFolder::Done> put_in(Cni::Install mode = Cni::Install::kAppend) const {
    return ConfFolder(conf, mode, {.state = "/var/lib/leat", .own_namespace = "leat-system", .wait_ms = 8000}).put_in();
  }
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(conf)) names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
  }
};

using Files = std::vector<std::string>;

}  // namespace

TEST_CASE("the first valid network by name gets the entry; what no runtime can read is named") {
  Host host;
  host.write("05-broken.conflist", "{");
  host.write("10-net.conflist", kList);
  host.write("20-other.conflist", kList);
  host.write("00-readme.txt", "not one");
  const auto done = host.put_in();
  REQUIRE(done);
  CHECK(done->file == "10-net.conflist");
  CHECK(done->changed);
  REQUIRE(done->invalid.size() == 1);
  CHECK(done->invalid[0].contains("05-broken.conflist: it is not a JSON object"));
  CHECK(host.is_in("10-net.conflist"));
  CHECK_FALSE(host.is_in("20-other.conflist"));
  CHECK_FALSE(host.put_in()->changed);
}

TEST_CASE("mode is kept, and no temporary file stays") {
  Host host;
  host.write("10-net.conflist", kList);
  chmod((host.conf + "/10-net.conflist").c_str(), 0640);
  REQUIRE(host.put_in());
  struct stat status{};
  REQUIRE(stat((host.conf + "/10-net.conflist").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0640);
  CHECK(host.files() == Files{"10-net.conflist"});
}

TEST_CASE("a single plugin's file becomes a list, and is itself again afterwards") {
  Host host;
  host.write("10-net.conf", kSingle);
  const auto done = host.put_in();
  REQUIRE(done);
  CHECK(done->file == "10-net.conflist");
  CHECK(host.files() == Files{"10-net.conf.leat-saved", "10-net.conflist"});
  CHECK_FALSE(host.put_in()->changed);
  REQUIRE(take_out_of_conf(host.config));
  CHECK(host.files() == Files{"10-net.conf"});
  CHECK(host.read("10-net.conf") == kSingle);
}

TEST_CASE("what somebody made of the list meanwhile is kept when ours goes") {
  Host host;
  host.write("10-net.conf", kSingle);
  REQUIRE(host.put_in());
  host.write("10-net.conflist", "{\"name\":\"pods\",\"plugins\":[{\"type\":\"new\"},{\"type\":\"leat-cni\"}]}");
  REQUIRE(take_out_of_conf(host.config));
  CHECK(host.read("10-net.conflist") == "{\"name\":\"pods\",\"plugins\":[{\"type\":\"new\"}]}");
}

TEST_CASE("a file of our own comes first by name and follows the primary's") {
  Host host;
  host.write("10-net.conflist", kList);
  CHECK(host.put_in(Cni::Install::kOwnFile)->file == "00-leat.conflist");
  CHECK(host.read("10-net.conflist") == kList);
  std::string edited = kList;
  edited.replace(edited.find("bridge"), 6, "router");
  host.write("10-net.conflist", edited);
  CHECK(host.put_in(Cni::Install::kOwnFile)->changed);
  CHECK(host.read("00-leat.conflist").contains("router"));
  CHECK_FALSE(host.put_in(Cni::Install::kOwnFile)->changed);
  REQUIRE(take_out_of_conf(host.config));
  CHECK(host.files() == Files{"10-net.conflist"});
}

TEST_CASE("a drop-in leaves the primary's file alone") {
  Host host;
  host.write("10-net.conflist", kList);
  CHECK(host.put_in(Cni::Install::kDropIn)->file == "pods/leat.conf");
  CHECK(host.read("10-net.conflist") == kList);
  CHECK(host.is_in("pods/leat.conf"));
  CHECK_FALSE(host.put_in(Cni::Install::kDropIn)->changed);
  REQUIRE(take_out_of_conf(host.config));
  CHECK(host.files() == Files{"10-net.conflist"});
}

TEST_CASE("taking out twice, or where nothing is, is fine, and every other byte stays") {
  Host host;
  host.write("10-net.conflist", kList);
  REQUIRE(host.put_in());
  REQUIRE(take_out_of_conf(host.config));
  REQUIRE(take_out_of_conf(host.config));
  CHECK(host.read("10-net.conflist") == kList);
  fs::remove_all(host.conf);
  CHECK(take_out_of_conf(host.config));
}

TEST_CASE("the binary is copied whole and executable, once, and anew when it is another one or gone") {
  Host host;
  CHECK(*install_binary(host.config.binary, host.bin));
  CHECK_FALSE(*install_binary(host.config.binary, host.bin));
  struct stat status{};
  REQUIRE(stat((host.bin + "/leat-cni").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0755);
  std::ofstream(host.config.binary) << "newer program";
  CHECK(*install_binary(host.config.binary, host.bin));
  fs::remove(host.bin + "/leat-cni");
  CHECK(*install_binary(host.config.binary, host.bin));
  CHECK_FALSE(install_binary("/nowhere", host.bin));
  REQUIRE(remove_binary(host.config));
  CHECK(fs::is_empty(host.bin));
}

TEST_CASE("the installer puts the entry back when somebody rewrites the file, counts it, and gives way in a fight") {
  Host host;
  host.write("10-net.conflist", kList);
  auto loop = *EventLoop::make();
  const auto installer = Installer::open(*loop, host.config, "/var/lib/leat");
  REQUIRE(installer);
  CHECK(host.is_in("10-net.conflist"));
  CHECK(fs::exists(host.bin + "/leat-cni"));
  for (size_t time = 1; time <= limits::kCniFightsMax; ++time) {
    CAPTURE(time);
    CHECK((*installer)->status().problem.empty());
    host.write("10-net.conflist", kList);
    while ((*installer)->status().repairs < time) loop->run_once(1s);
    CHECK(host.is_in("10-net.conflist"));
  }
  CHECK((*installer)->status().problem.contains("again and again"));
  host.write("10-net.conflist", kList);
  for (int turn = 0; turn < 10; ++turn) loop->run_once(50ms);
  CHECK_FALSE(host.is_in("10-net.conflist"));
}

TEST_CASE("without a network the installer waits for one, and says so; one that comes gets the entry") {
  Host host;
  auto loop = *EventLoop::make();
  const auto installer = Installer::open(*loop, host.config, "/var/lib/leat");
  REQUIRE(installer);
  CHECK((*installer)->status().problem.contains("no network is configured"));
  host.write("10-net.conflist", kList);
  while ((*installer)->status().file.empty()) loop->run_once(1s);
  CHECK((*installer)->status().problem.empty());
  CHECK((*installer)->status().repairs == 0);
}
