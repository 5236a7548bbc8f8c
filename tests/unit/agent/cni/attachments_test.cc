#include "agent/sources/attachments.h"

#include <doctest/doctest.h>

using leat::IpAddress;
using leat::control::Pod;
using leat::sources::Attachment;
using leat::sources::Attachments;

namespace {

Attachment attachment(const std::string& container, const std::string& uid = "u1") {
  return {.container_id = container,
          .ifname = "eth0",
          .pod = {"shop", "a"},
          .uid = uid,
          .netns_path = "/run/netns/" + container,
          .netns_inode = 7,
          .addresses = {*IpAddress::parse("10.1.0.7")}};
}

Pod pod(const std::string& uid = "u1") {
  Pod made;
  made.meta.name = {"shop", "a"};
  made.meta.uid = uid;
  made.phase = "Pending";
  return made;
}

}  // namespace

TEST_CASE("a pod that has its network counts as running and not ready, before its status says so") {
  Attachments book;
  book.add(attachment("c1"));
  Pod made = pod();
  CHECK(book.complete(made));
  CHECK(made.netns_path == "/run/netns/c1");
  CHECK(made.addresses == std::vector{*IpAddress::parse("10.1.0.7")});
  CHECK(made.phase == "Running");
  CHECK(made.ready == false);
}

TEST_CASE("another pod of the same name is not it") {
  Attachments book;
  book.add(attachment("c1"));
  Pod other = pod("u2");
  CHECK_FALSE(book.complete(other));
  CHECK(other.netns_path.empty());
}

TEST_CASE("an end is an end, however its namespace lingers; the next pod of that name is not meant") {
  Attachments book;
  book.add(attachment("c1"));
  CHECK(book.remove("c1") == leat::control::Name{"shop", "a"});
  CHECK_FALSE(book.remove("c1"));
  Pod gone = pod();
  gone.netns_path = "/run/netns/c1";
  CHECK(book.complete(gone));
  CHECK(gone.netns_path.empty());
  Pod next = pod("u2");
  CHECK_FALSE(book.complete(next));
}

TEST_CASE("a new sandbox takes the place of the old one, whose late end changes nothing") {
  Attachments book;
  book.add(attachment("c1"));
  book.add(attachment("c2"));
  CHECK(book.size() == 1);
  CHECK_FALSE(book.remove("c1"));
  Pod made = pod();
  CHECK(book.complete(made));
  CHECK(made.netns_path == "/run/netns/c2");
}

TEST_CASE("a terminated pod is not called running, and a hostNetwork pod is nobody's") {
  Attachments book;
  book.add(attachment("c1"));
  Pod done = pod();
  done.phase = "Succeeded";
  book.complete(done);
  CHECK(done.phase == "Succeeded");
  Pod host = pod();
  host.host_network = true;
  CHECK_FALSE(book.complete(host));
}

TEST_CASE("ends are forgotten with their objects") {
  Attachments book;
  book.add(attachment("c1"));
  book.remove("c1");
  leat::control::ObjectSet objects;
  book.forget_ended(objects);
  Pod again = pod();
  CHECK_FALSE(book.complete(again));
}

TEST_CASE("attachments survive a restart; a damaged file is refused whole") {
  Attachments book;
  book.add(attachment("c1"));
  const std::string text = book.save();
  auto loaded = Attachments::load(text);
  REQUIRE(loaded);
  CHECK(loaded->save() == text);
  for (const std::string bad : {"", "{}", "[5]", "[{}]", R"([{"container":"c"}])"}) {
    CAPTURE(bad);
    CHECK_FALSE(Attachments::load(bad));
  }
  for (size_t length = 0; length + 2 < text.size(); ++length) CHECK_FALSE(Attachments::load(text.substr(0, length)));
}

TEST_CASE("what is gone is removed by what says so") {
  Attachments book;
  book.add(attachment("c1"));
  CHECK(book.remove_if([](const Attachment& each) { return each.netns_inode == 8; }).empty());
  CHECK(book.remove_if([](const Attachment& each) { return each.netns_inode == 7; }).size() == 1);
  CHECK(book.size() == 0);
}
