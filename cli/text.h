// Fields of the agent's messages as words.
#pragma once

#include <string>
#include <string_view>

#include "leat.pb.h"

namespace leat::cli {

std::string address_text(const std::string& wire);                  // empty for no address
std::string endpoint_text(const std::string& wire, uint32_t port);  // "10.0.0.1:80", "[fd00::1]:80", "-" for no address
std::string or_dash(std::string_view text);
// "shop/backend" of "spiffe://cluster.local/ns/shop/sa/backend"; any other identity as it is.
std::string short_identity(std::string_view identity);
std::string_view mtls_text(v1::MtlsMode mode);
std::string_view protocol_text(v1::Protocol protocol);
// "round-robin", "least-request, outliers, limits": null: the defaults.
std::string policy_text(const v1::TrafficPolicy* policy);
// Whom the rule is for: "clients in team with app=web".
std::string clients_text(const v1::ClientRule& rule);

}  // namespace leat::cli
