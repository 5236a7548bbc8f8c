#include "ca/roots.h"

#include <charconv>

#include "ca/issuer.h"

namespace leat::ca {
namespace {

using std::chrono::seconds;
using std::chrono::system_clock;

constexpr char kCurrentKey[] = "ca.key", kCurrent[] = "ca.crt", kNextKey[] = "next.key", kNext[] = "next.crt",
               kFormer[] = "former.crt", kChanged[] = "changed", kFollowedOrder[] = "followed-order";
constexpr int kLifeParts = 5;  // the last part of a root's life is for its successor to come

std::string field(const std::map<std::string, std::string>& fields, const char* name) {
  const auto found = fields.find(name);
  return found == fields.end() ? "" : found->second;
}

Result<RootSet::Root> make_root(const std::string& trust_domain, const RotationTimes& times) {
  LEAT_TRY(const Issuer root, Issuer::make_root(trust_domain, times.root_lifetime));
  return RootSet::Root{.key_pem = root.key_pem(), .certificate_pem = root.certificate_pem()};
}

bool is_old(const Issuer& root, RootSet::Time now) {
  const auto life = root.not_after() - root.not_before();
  return root.not_after() - now < life / kLifeParts;
}

}  // namespace

Result<RootSet> RootSet::read(const std::map<std::string, std::string>& fields) {
  RootSet roots;
  roots.current = {.key_pem = field(fields, kCurrentKey), .certificate_pem = field(fields, kCurrent)};
  if (const auto current = Issuer::load(roots.current.key_pem, roots.current.certificate_pem); !current)
    return fail(ErrorCode::kInvalid, "{} and {}: {}", kCurrentKey, kCurrent, current.error().message);
  if (fields.contains(kNext) || fields.contains(kNextKey)) {
    roots.next = Root{.key_pem = field(fields, kNextKey), .certificate_pem = field(fields, kNext)};
    if (const auto next = Issuer::load(roots.next->key_pem, roots.next->certificate_pem); !next)
      return fail(ErrorCode::kInvalid, "{} and {}: {}", kNextKey, kNext, next.error().message);
  }
  roots.former_pem = field(fields, kFormer);
  if (!roots.former_pem.empty()) {
    if (const auto former = certificates_from_pem(roots.former_pem); !former)
      return fail(ErrorCode::kInvalid, "{}: {}", kFormer, former.error().message);
  }
  const std::string changed = field(fields, kChanged);
  int64_t unix_seconds = 0;
  const auto [end, error] = std::from_chars(changed.data(), changed.data() + changed.size(), unix_seconds);
  if (error != std::errc{} || end != changed.data() + changed.size())
    return fail(ErrorCode::kInvalid, "{}: `{}` is no time in seconds since 1970", kChanged, changed);
  roots.changed = system_clock::time_point(seconds(unix_seconds));
  roots.followed_order = field(fields, kFollowedOrder);
  return roots;
}

std::map<std::string, std::string> RootSet::fields() const {
  std::map<std::string, std::string> fields{
      {kCurrentKey, current.key_pem},
      {kCurrent, current.certificate_pem},
      {kChanged, std::to_string(std::chrono::duration_cast<seconds>(changed.time_since_epoch()).count())}};
  if (next) {
    fields[kNextKey] = next->key_pem;
    fields[kNext] = next->certificate_pem;
  }
  if (!former_pem.empty()) fields[kFormer] = former_pem;
  if (!followed_order.empty()) fields[kFollowedOrder] = followed_order;
  return fields;
}

std::string RootSet::bundle() const {
  return current.certificate_pem + (next ? next->certificate_pem : "") + former_pem;
}

Result<RootSet> first_roots(const std::string& trust_domain, const RotationTimes& times, RootSet::Time now) {
  RootSet roots;
  LEAT_TRY(roots.current, make_root(trust_domain, times));
  roots.changed = std::chrono::floor<seconds>(now);
  return roots;
}

Result<std::optional<RotationStep>> advance(const RootSet& roots, const std::string& trust_domain,
                                            const RotationTimes& times, const std::string& order, RootSet::Time now) {
  RotationStep step{.roots = roots, .what = {}};
  const RootSet::Time second = std::chrono::floor<seconds>(now);
  if (roots.next) {
    if (now - roots.changed < times.distribute) return std::nullopt;
    step.roots.former_pem = roots.current.certificate_pem;
    step.roots.current = *roots.next;
    step.roots.next.reset();
    step.roots.changed = second;
    step.what = "the new root signs from now on; the former one is trusted until what it signed has expired";
    return step;
  }
  if (!roots.former_pem.empty()) {
    if (now - roots.changed < times.retire) return std::nullopt;
    step.roots.former_pem.clear();
    step.what = "the former root is no longer trusted: the rotation is complete";
    return step;
  }
  LEAT_TRY(const Issuer current, Issuer::load(roots.current.key_pem, roots.current.certificate_pem));
  const bool ordered = !order.empty() && order != roots.followed_order;
  if (!ordered && !is_old(current, now)) return std::nullopt;
  LEAT_TRY(step.roots.next, make_root(trust_domain, times));
  step.roots.changed = second;
  if (ordered) step.roots.followed_order = order;
  step.what = fmt::format("a new root is made and published ({}); it signs in {} s",
                          ordered ? fmt::format("order `{}`", order) : "the present one is near its end",
                          times.distribute.count());
  return step;
}

}  // namespace leat::ca
