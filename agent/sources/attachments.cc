#include "agent/sources/attachments.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace leat::sources {
namespace {

// Files written by hand have no uid: then the name is all there is.
bool is_of(const Attachment& attachment, const control::Pod& pod) {
  return attachment.pod == pod.meta.name &&
         (attachment.uid.empty() || pod.meta.uid.empty() || attachment.uid == pod.meta.uid);
}

}  // namespace

void Attachments::add(Attachment attachment) {
  std::erase_if(by_container_, [&](const auto& entry) {
    return entry.second.pod == attachment.pod && entry.second.uid == attachment.uid;
  });
  ended_.erase(attachment.pod);
  by_container_.insert_or_assign(attachment.container_id, std::move(attachment));
}

std::optional<control::Name> Attachments::remove(const std::string& container_id) {
  const auto found = by_container_.find(container_id);
  if (found == by_container_.end()) return std::nullopt;
  const control::Name pod = found->second.pod;
  ended_.insert_or_assign(pod, found->second.uid);
  by_container_.erase(found);
  return pod;
}

std::vector<control::Name> Attachments::remove_if(const std::function<bool(const Attachment&)>& gone) {
  std::vector<std::string> containers;
  for (const auto& [id, attachment] : by_container_) {
    if (gone(attachment)) containers.push_back(id);
  }
  std::vector<control::Name> pods;
  for (const std::string& id : containers) pods.push_back(*remove(id));
  return pods;
}

const Attachment* Attachments::find(const control::Pod& pod) const {
  const auto found = std::ranges::find_if(by_container_, [&](const auto& entry) { return is_of(entry.second, pod); });
  return found == by_container_.end() ? nullptr : &found->second;
}

bool Attachments::complete(control::Pod& pod) const {
  if (pod.host_network) return false;
  if (const Attachment* attachment = find(pod)) {
    pod.netns_path = attachment->netns_path;
    if (!attachment->addresses.empty()) pod.addresses = attachment->addresses;
    if (pod.phase == "Pending") {  // until its programs run; it has its network, and may use it
      pod.phase = "Running";
      pod.ready = pod.ready.value_or(false);
    }
    return true;
  }
  const auto ended = ended_.find(pod.meta.name);
  const bool is_over = ended != ended_.end() && (ended->second.empty() || ended->second == pod.meta.uid);
  if (is_over) pod.netns_path.clear();
  return is_over;
}

void Attachments::forget_ended(const control::ObjectSet& objects) {
  std::erase_if(ended_, [&](const auto& entry) {
    const auto* pod = objects.find<control::Pod>(entry.first);
    return pod == nullptr || (!entry.second.empty() && pod->meta.uid != entry.second);
  });
}

std::string Attachments::save() const {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [id, attachment] : by_container_) {
    std::vector<std::string> addresses;
    for (const IpAddress& address : attachment.addresses) addresses.push_back(address.text());
    list.push_back({{"container", id},
                    {"ifname", attachment.ifname},
                    {"namespace", attachment.pod.ns},
                    {"name", attachment.pod.name},
                    {"uid", attachment.uid},
                    {"netns", attachment.netns_path},
                    {"inode", attachment.netns_inode},
                    {"addresses", addresses}});
  }
  return list.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Result<Attachments> Attachments::load(std::string_view text) {
  const auto list = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!list.is_array()) return fail(ErrorCode::kInvalid, "not a list of attachments");
  Attachments out;
  for (const auto& entry : list) {
    const auto text_of = [&](const char* key) {
      const auto value = entry.is_object() ? entry.find(key) : entry.end();
      return entry.is_object() && value != entry.end() && value->is_string() ? value->get<std::string>() : "";
    };
    Attachment attachment{.container_id = text_of("container"),
                          .ifname = text_of("ifname"),
                          .pod = {text_of("namespace"), text_of("name")},
                          .uid = text_of("uid"),
                          .netns_path = text_of("netns"),
                          .addresses = {}};
    if (attachment.container_id.empty() || attachment.netns_path.empty())
      return fail(ErrorCode::kInvalid, "an attachment without container or network namespace");
    if (const auto inode = entry.find("inode"); inode != entry.end() && inode->is_number_unsigned())
      attachment.netns_inode = *inode;
    if (const auto addresses = entry.find("addresses"); addresses != entry.end() && addresses->is_array()) {
      for (const auto& each : *addresses) {
        const auto address = each.is_string() ? IpAddress::parse(each.get<std::string>()) : std::nullopt;
        if (address) attachment.addresses.push_back(*address);
      }
    }
    out.by_container_.insert_or_assign(attachment.container_id, std::move(attachment));
  }
  return out;
}

}  // namespace leat::sources
