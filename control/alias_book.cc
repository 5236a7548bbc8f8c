#include "control/alias_book.h"

#include <charconv>
#include <vector>

#include <fmt/format.h>

#include "bpf/alias.h"
#include "common/check.h"

namespace leat::control {
namespace {

static_assert(AliasBook::kIds == LEAT_ALIAS_ID_MAX + 1);

constexpr std::string_view kHeader = "leat-aliases 1";

std::optional<uint32_t> parse_id(std::string_view text, uint32_t limit) {
  uint32_t id = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (status != std::errc{} || end != text.data() + text.size() || id > limit) return std::nullopt;
  return id;
}

std::string_view take_until(std::string_view& text, char separator) {
  const size_t end = std::min(text.find(separator), text.size());
  const std::string_view taken = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return taken;
}

}  // namespace

AliasBook::AliasBook(uint32_t limit, size_t max_retired) : limit_(limit), max_retired_(max_retired) {
  LEAT_CHECK(limit <= kIds, "an alias id has 22 bits");
}

Result<uint32_t> AliasBook::hold(const AliasKey& key) {
  if (const auto known = entries_.find(key); known != entries_.end()) {
    Entry& entry = known->second;
    if (entry.holders++ == 0) {
      retired_.erase(entry.retired_at);
      turned_.insert_or_assign(entry.id, key);
    }
    return entry.id;
  }
  std::optional<uint32_t> id = take_id();
  if (!id && !retired_.empty()) {
    forget_oldest();
    id = take_id();
  }
  if (!id)
    return fail(ErrorCode::kExhausted, "all {} alias ids are in use; {} gets none and stays outside the mesh", limit_,
                key.address.text());
  entries_.emplace(key, Entry{.id = *id, .holders = 1});
  ++version_;
  return *id;
}

void AliasBook::release(const AliasKey& key) {
  const auto known = entries_.find(key);
  LEAT_CHECK(known != entries_.end() && known->second.holders > 0, "an alias is released once for each hold");
  if (--known->second.holders == 0) retire(key, known->second);
}

void AliasBook::retire(const AliasKey& key, Entry& entry) {
  entry.retired_at = retirements_++;
  retired_.emplace(entry.retired_at, key);
  turned_.insert_or_assign(entry.id, key);
  if (retired_.size() > max_retired_) forget_oldest();
}

void AliasBook::forget_oldest() {
  const auto oldest = retired_.begin();
  const auto entry = entries_.find(oldest->second);
  resting_.push_back(entry->second.id);
  turned_.insert_or_assign(entry->second.id, entry->first);
  entries_.erase(entry);
  retired_.erase(oldest);
  ++version_;
}

std::optional<uint32_t> AliasBook::take_id() {
  if (next_ < limit_) return next_++;
  if (resting_.empty()) return std::nullopt;
  const uint32_t id = resting_.front();
  resting_.pop_front();
  return id;
}

std::optional<uint32_t> AliasBook::find(const AliasKey& key) const {
  const auto known = entries_.find(key);
  if (known == entries_.end()) return std::nullopt;
  return known->second.id;
}

bool AliasBook::is_retired(const AliasKey& key) const {
  const auto known = entries_.find(key);
  return known != entries_.end() && known->second.holders == 0;
}

std::vector<std::pair<uint32_t, AliasKey>> AliasBook::retired() const {
  std::map<uint32_t, AliasKey> by_id;
  for (const auto& [age, key] : retired_) by_id.emplace(entries_.at(key).id, key);
  return {by_id.begin(), by_id.end()};
}

// One line an entry: "17 10.0.1.5" or "18 10.96.0.9 remote". Ids below `next` that have no line are free.
std::string AliasBook::save() const {
  std::string text = fmt::format("{}\nnext {}\n", kHeader, next_);
  for (const auto& [key, entry] : entries_) {
    fmt::format_to(std::back_inserter(text), "{} {}{}\n", entry.id, key.address.text(),
                   key.remote_only ? " remote" : "");
  }
  return text;
}

Result<AliasBook> AliasBook::load(std::string_view text) {
  AliasBook book;
  if (take_until(text, '\n') != kHeader)
    return fail(ErrorCode::kInvalid, "the alias store does not begin with '{}'", kHeader);
  std::string_view next = take_until(text, '\n');
  const bool has_next = take_until(next, ' ') == "next";
  const auto next_id = parse_id(next, kIds);
  if (!has_next || !next_id) return fail(ErrorCode::kInvalid, "line 2 of the alias store is not 'next ID'");
  book.next_ = *next_id;

  std::vector<bool> used(book.next_, false);
  for (int number = 3; !text.empty(); ++number) {
    const std::string_view line = take_until(text, '\n');
    std::string_view rest = line;
    const auto id = parse_id(take_until(rest, ' '), kIds - 1);
    const auto address = IpAddress::parse(take_until(rest, ' '));
    if (!id || *id >= book.next_ || used[*id] || !address || !(rest.empty() || rest == "remote")) {
      return fail(ErrorCode::kInvalid,
                  "line {} of the alias store is not an id below {}, used once, and an address: '{}'", number,
                  book.next_, line);
    }
    used[*id] = true;
    const AliasKey key{*address, rest == "remote"};
    const auto [entry, added] = book.entries_.emplace(key, Entry{.id = *id});
    if (!added) return fail(ErrorCode::kInvalid, "line {} of the alias store names {} again", number, address->text());
    entry->second.retired_at = book.retirements_++;
    book.retired_.emplace(entry->second.retired_at, key);
  }
  for (uint32_t id = 0; id < book.next_; ++id) {
    if (!used[id]) book.resting_.push_back(id);
  }
  return book;
}

}  // namespace leat::control
