// Two test nodes with three pods that know one another: client and near on node a, far on node b.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <functional>
#include <random>

#include "tests/unit/userspace-proxy/flow/test_node.h"
#include "userspace-proxy/mesh/alias.h"

namespace leat::proxy::test {

struct CaFolder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("leat-flow-test-" + std::to_string(getpid()) +
                                                                         "-" + std::to_string(std::random_device{}()));
  ~CaFolder() { std::filesystem::remove_all(path); }
};

inline const Pod kClient{"client", "127.1.1.1", "client"};
inline const Pod kNear{"near", "127.1.1.2", "server"};
inline const Pod kFar{"far", "127.1.2.1", "server"};

struct Cluster {
  CaFolder folder;
  ca::CertificateAuthority ca = *ca::CertificateAuthority::open(folder.path, "cluster.local");
  Node a;
  Node b;

  explicit Cluster(ring::BackendKind backend) : a(ca, backend, 2), b(ca, backend, 2) {
    for (Node* node : {&a, &b}) {
      node->add_workload(kClient, node == &a);
      node->add_workload(kNear, node == &a);
      node->add_workload(kFar, node == &b);
      for (const auto& [id, pod] : {std::pair{1u, kClient}, {2u, kNear}, {3u, kFar}})
        node->add_alias(id, pod.ip, "", pod.name);
    }
  }
  // With listeners for connections from client to far, port 8080.
  void start_both() {
    a.start();
    b.start();
    b.listen_hbone(kFar);
    a.listen_outbound(kClient, 3, 8080);
  }
};

inline void for_both_backends(const std::function<void(ring::BackendKind)>& test) {
  for (const auto backend : {ring::BackendKind::kIoUring, ring::BackendKind::kEpoll}) {
    CAPTURE(static_cast<int>(backend));
    test(backend);
  }
}

}  // namespace leat::proxy::test
