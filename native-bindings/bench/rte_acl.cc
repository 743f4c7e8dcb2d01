#include "bench/rte_acl.h"

#include <dlfcn.h>

#include <stdexcept>

namespace headgate::bench {

RteAclLibrary::RteAclLibrary(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW);
  if (!library) throw std::runtime_error(std::string("rte_acl cannot be loaded: ") + dlerror());
  auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    if (!function) throw std::runtime_error(path + " has no " + name);
  };
  decltype(&rte_acl_peer_start) start;
  find(start, "rte_acl_peer_start");
  find(build, "rte_acl_peer_build");
  find(error, "rte_acl_peer_error");
  find(use_algorithm, "rte_acl_peer_algorithm");
  find(memory, "rte_acl_peer_memory");
  find(headers, "rte_acl_peer_headers");
  find(classify, "rte_acl_peer_classify");
  find(drop, "rte_acl_peer_drop");
  if (start() != 0) throw std::runtime_error("DPDK does not start here (is this root?)");
}

std::vector<RteAclLibrary::Algorithm> RteAclLibrary::algorithms(RteAcl* acl) const {
  std::vector<Algorithm> here;
  for (Algorithm algorithm :
       {Algorithm{1, "scalar"}, {2, "sse"}, {3, "avx2"}, {4, "neon"}, {6, "avx512x16"}, {7, "avx512x32"}})
    if (use_algorithm(acl, algorithm.number) == 0) here.push_back(algorithm);
  return here;
}

}  // namespace headgate::bench
