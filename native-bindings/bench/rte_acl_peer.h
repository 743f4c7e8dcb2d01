// The interface of rte_acl_peer.cc. The rules that `which` names are put in, the lowest number first in priority; a
// result is the number of the rule that matched plus one, or 0. Null and non-zero are failures.
#pragma once

#include <cstddef>
#include <cstdint>

namespace headgate::bench {
struct Tuple;
struct Header;
}  // namespace headgate::bench

struct RteAcl;
struct RteHeaders;

extern "C" {
int rte_acl_peer_start();
RteAcl* rte_acl_peer_build(const headgate::bench::Tuple* rules, const uint32_t* which, size_t count);
int rte_acl_peer_error();  // why it failed, as errno says it
// An rte_acl_classify_alg: 1 scalar, 2 SSE, 3 AVX2, ...; non-zero: this machine has it not.
int rte_acl_peer_algorithm(RteAcl* acl, int algorithm);
size_t rte_acl_peer_memory(const RteAcl* acl);  // bytes
// Headers in the form that rte_acl reads: making them is not part of what is measured.
RteHeaders* rte_acl_peer_headers(const headgate::bench::Header* headers, size_t count);
void rte_acl_peer_classify(const RteAcl* acl, const RteHeaders* headers, size_t from, uint32_t* results, size_t count);
void rte_acl_peer_drop(RteAcl* acl);
}
