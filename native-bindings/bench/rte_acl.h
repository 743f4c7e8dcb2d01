// rte_acl as bench_classify uses it: the library of rte_acl_peer.cc, loaded where it was built.
#pragma once

#include <string>
#include <vector>

#include "bench/rte_acl_peer.h"
#include "bench/tuples.h"

namespace headgate::bench {

struct RteAclLibrary {
  struct Algorithm {
    int number;
    const char* name;
  };
  // Throws std::runtime_error.
  explicit RteAclLibrary(const std::string& path);

  // Those of kAlgorithms that this machine has.
  std::vector<Algorithm> algorithms(RteAcl* acl) const;

  decltype(&rte_acl_peer_build) build;
  decltype(&rte_acl_peer_error) error;
  decltype(&rte_acl_peer_algorithm) use_algorithm;
  decltype(&rte_acl_peer_memory) memory;
  decltype(&rte_acl_peer_headers) headers;
  decltype(&rte_acl_peer_classify) classify;
  decltype(&rte_acl_peer_drop) drop;
};

}  // namespace headgate::bench
