// Who read what. The compiler makes its result in parts (a Service, the routes of one VirtualService, a table of one
// kind); while a part is made, everything that it reads is noted as a fact. When a fact changes, its readers are made
// anew, and nothing else is. So nobody has to write down on what a part depends, and nobody can forget it: what a part
// is made from must come through a View, or through a table that notes what it answers.
//
// Kinds that are not in kTrackedKinds change seldom, or change nearly everything (a Namespace's label, a Mesh): what
// they say is not noted, and everything is compiled anew when one of them changes. A new kind begins there.
//
// Two facts may share a number (they are hashes): then a part is made anew in vain.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/objects.h"

namespace leat::control {

using Fact = uint64_t;
inline Fact fact(std::string_view what, std::string_view of, std::string_view more = {}) {
  const std::hash<std::string_view> hash;
  return (hash(what) * 31 + hash(of)) * 0x9e3779b97f4a7c15u + hash(more);
}
inline Fact fact(std::string_view what, const Name& name) { return fact(what, name.ns, name.name); }
inline Fact fact(std::string_view what, const IpAddress& address) {
  return fact(what, {reinterpret_cast<const char*>(address.bytes().data()), address.bytes().size()});
}
inline constexpr std::string_view kAll = "*";  // no object has this name

inline constexpr std::array kTrackedKinds = {Pod::kKind,
                                             NodeWorkloads::kKind,
                                             Service::kKind,
                                             EndpointSlice::kKind,
                                             VirtualService::kKind,
                                             DestinationRule::kKind,
                                             HostAnswer::kKind,
                                             GatewayHttpRoute::kKind,
                                             GatewayGrpcRoute::kKind,
                                             ReferenceGrant::kKind,
                                             NetworkPolicy::kKind};
constexpr bool is_tracked(std::string_view kind) {
  return std::ranges::find(kTrackedKinds, kind) != kTrackedKinds.end();
}

class Reads {
 public:
  using Part = uint32_t;
  static constexpr Part kNobody = 0;

  Part add();
  // What is noted from now on is read by `part`, until the scope ends; what it read before is forgotten.
  class [[nodiscard]] Scope {
   public:
    Scope(Reads& reads, Part part) : reads_(reads), outer_(std::exchange(reads.reader_, part)) { reads.forget(part); }
    ~Scope() { reads_.reader_ = outer_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Reads& reads_;
    Part outer_;
  };
  void note(Fact fact);
  [[nodiscard]] Part reader() const { return reader_; }
  // The part is no more.
  void remove(Part part);

  // Calls `each` with every part that has read `fact`.
  template <typename Each>
  void readers(Fact fact, Each each) const {
    const auto [first, last] = readers_.equal_range(fact);
    for (auto reader = first; reader != last; ++reader) each(reader->second);
  }

 private:
  void forget(Part part);

  Part reader_ = kNobody;
  std::vector<std::vector<Fact>> facts_{1};  // by part
  std::vector<Part> free_;
  std::unordered_multimap<Fact, Part> readers_;
};

// The parts that have to be made anew.
class DirtyParts {
 public:
  explicit DirtyParts(const Reads& reads) : reads_(reads) {}

  void add(Reads::Part part) { parts_.insert(part); }
  void add_readers(Fact changed) {
    reads_.readers(changed, [this](Reads::Part part) { add(part); });
  }
  void add_all(std::set<Reads::Part> parts) { parts_.merge(parts); }
  void remove(Reads::Part part) { parts_.erase(part); }
  void clear() { parts_.clear(); }
  [[nodiscard]] bool contains(Reads::Part part) const { return parts_.contains(part); }
  [[nodiscard]] const std::set<Reads::Part>& all() const { return parts_; }

 private:
  const Reads& reads_;
  std::set<Reads::Part> parts_;
};

// The objects, as parts read them.
class View {
 public:
  View(const ObjectSet& objects, Reads& reads) : objects_(&objects), reads_(&reads) {}

  template <typename Kind>
  [[nodiscard]] const Kind* find(const Name& name) const {
    if constexpr (is_tracked(Kind::kKind)) reads_->note(fact(Kind::kKind, name));
    return objects_->find<Kind>(name);
  }
  template <typename Kind>
  [[nodiscard]] std::shared_ptr<const Kind> share(const Name& name) const {
    if constexpr (is_tracked(Kind::kKind)) reads_->note(fact(Kind::kKind, name));
    return objects_->share<Kind>(name);
  }
  template <typename Kind>
  [[nodiscard]] auto all() const {
    if constexpr (is_tracked(Kind::kKind)) reads_->note(fact(Kind::kKind, kAll));
    return objects_->all<Kind>();
  }
  // Of a table's answer.
  void note(Fact fact) const { reads_->note(fact); }

  [[nodiscard]] Reads::Part reader() const { return reads_->reader(); }
  [[nodiscard]] const ObjectSet& objects() const { return *objects_; }  // nothing is noted

 private:
  const ObjectSet* objects_;
  Reads* reads_;
};

}  // namespace leat::control
