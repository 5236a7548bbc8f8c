// Host names as Istio's objects have them -> Services.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "control/objects.h"

namespace leat::control {

// The name of a Service in the cluster's DNS: backend.shop.svc.cluster.local.
std::string full_host(const Name& service);

// A host as an object in namespace `ns` writes it.
class Host {
 public:
  // "backend" (of the object's own namespace), "backend.shop", "backend.shop.svc", "backend.shop.svc.cluster.local",
  // or "*.shop.svc.cluster.local": any host that ends so. Any case.
  Host(std::string_view text, const std::string& ns);

  // The one Service that is named, which may not exist; nothing for a wildcard and for a host outside the cluster.
  [[nodiscard]] const std::optional<Name>& service() const { return service_; }
  [[nodiscard]] const std::string& text() const { return text_; }  // in lower case
  [[nodiscard]] bool is_wildcard() const { return !suffix_.empty(); }
  [[nodiscard]] bool is_everything() const { return suffix_ == "."; }
  [[nodiscard]] bool covers(const Name& service) const;
  // Of two that cover a Service the one with more of it comes first.
  [[nodiscard]] size_t specificity() const;
  bool operator==(const Host&) const = default;

 private:
  std::string text_;
  std::optional<Name> service_;
  std::string suffix_;  // of a wildcard: what follows the star, "." for a bare star
};

}  // namespace leat::control
