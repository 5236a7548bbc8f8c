#include "control/settings.h"

namespace leat::control {

v1::MeshSettings default_settings() {
  v1::MeshSettings settings;
  settings.set_trust_domain("cluster.local");  // as Istio's, so that identities of both mean the same
  settings.set_root_namespace("leat-system");  // policies here hold for the whole mesh
  settings.set_same_node(v1::SAME_NODE_DIRECT);
  settings.set_connect_timeout_ms(5'000);
  settings.set_drain_timeout_ms(120'000);          // of a proxy that was replaced: its flows are ended after that
  settings.set_certificate_lifetime_s(12 * 3600);  // renewed at half of it
  settings.set_no_proxy_timeout_ms(5'000);
  return settings;
}

}  // namespace leat::control
