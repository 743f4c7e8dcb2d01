// DPDK's rte_acl behind a small C interface, as a library of its own: bench_classify loads it where it was built
// (scripts/bench classify), so nothing else needs DPDK.
#include <arpa/inet.h>
#include <malloc.h>
#include <sched.h>

#include <rte_acl.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "bench/rte_acl_peer.h"
#include "bench/tuples.h"

using headgate::bench::Header;
using headgate::bench::Tuple;

namespace {

enum { kFields = 5 };
struct Fields {  // in network byte order, as in a packet; the protocol first, as rte_acl wants one byte
  uint8_t protocol;
  uint8_t pad[3];
  uint32_t source, destination;
  uint16_t source_port, destination_port;
};

RTE_ACL_RULE_DEF(AclRule, kFields);

const rte_acl_field_def kDefinition[kFields] = {
    {RTE_ACL_FIELD_TYPE_BITMASK, 1, 0, 0, offsetof(Fields, protocol)},
    {RTE_ACL_FIELD_TYPE_MASK, 4, 1, 1, offsetof(Fields, source)},
    {RTE_ACL_FIELD_TYPE_MASK, 4, 2, 2, offsetof(Fields, destination)},
    {RTE_ACL_FIELD_TYPE_RANGE, 2, 3, 3, offsetof(Fields, source_port)},
    {RTE_ACL_FIELD_TYPE_RANGE, 2, 4, 3, offsetof(Fields, destination_port)},
};

uint32_t prefix_length(uint32_t low, uint32_t high) {
  return low == high ? 32 : static_cast<uint32_t>(__builtin_clz(low ^ high));
}

size_t memory_now() {
  return mallinfo2().uordblks + mallinfo2().hblkhd;
}

int contexts = 0;
int error = 0;

}  // namespace

struct RteAcl {
  rte_acl_ctx* context;
  size_t memory;
};

struct RteHeaders {
  std::vector<Fields> fields;
  std::vector<const uint8_t*> pointers;
};

extern "C" {

int rte_acl_peer_start() {
  std::string lcore = std::to_string(sched_getcpu());
  std::string words[] = {"bench",         "--no-shconf", "--no-huge", "--no-pci", "--no-telemetry",
                         "--log-level=1", "-m",          "8000",      "-l",       lcore};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  // It ties the calling thread to one processor: what is measured runs where the kernel likes, for all alike.
  cpu_set_t processors;
  sched_getaffinity(0, sizeof processors, &processors);
  int started = rte_eal_init(static_cast<int>(arguments.size()), arguments.data());
  sched_setaffinity(0, sizeof processors, &processors);
  return started < 0 ? -1 : 0;
}

RteAcl* rte_acl_peer_build(const Tuple* rules, const uint32_t* which, size_t count) {
  std::string name = "bench" + std::to_string(contexts++);
  rte_acl_param parameters{name.c_str(), -1, RTE_ACL_RULE_SZ(kFields), static_cast<uint32_t>(count)};
  rte_malloc_socket_stats before{}, after{};
  rte_malloc_get_socket_stats(0, &before);
  size_t heap = memory_now();
  RteAcl* acl = new RteAcl{rte_acl_create(&parameters), 0};
  auto failed = [&](int code) {
    error = code;
    rte_acl_free(acl->context);
    delete acl;
    return nullptr;
  };
  if (!acl->context) return failed(rte_errno);
  for (size_t i = 0; i < count; ++i) {
    const Tuple& t = rules[which[i]];
    AclRule r{};
    r.data.category_mask = 1;
    r.data.priority = static_cast<int32_t>(RTE_ACL_MAX_PRIORITY - which[i]);
    r.data.userdata = which[i] + 1;
    r.field[0].value.u8 = static_cast<uint8_t>(t.low[4]);
    r.field[0].mask_range.u8 = t.low[4] == t.high[4] ? 0xff : 0;
    for (int f = 0; f < 2; ++f) {
      r.field[1 + f].value.u32 = t.low[f];
      r.field[1 + f].mask_range.u32 = prefix_length(t.low[f], t.high[f]);
      r.field[3 + f].value.u16 = static_cast<uint16_t>(t.low[2 + f]);
      r.field[3 + f].mask_range.u16 = static_cast<uint16_t>(t.high[2 + f]);
    }
    if (int code = rte_acl_add_rules(acl->context, reinterpret_cast<rte_acl_rule*>(&r), 1)) return failed(-code);
  }
  rte_acl_config config{};
  config.num_categories = 1;
  config.num_fields = kFields;
  memcpy(config.defs, kDefinition, sizeof kDefinition);
  if (int code = rte_acl_build(acl->context, &config)) return failed(-code);
  rte_malloc_get_socket_stats(0, &after);
  acl->memory = after.heap_allocsz_bytes - before.heap_allocsz_bytes + (memory_now() - heap);
  return acl;
}

int rte_acl_peer_error() {
  return error;
}

int rte_acl_peer_algorithm(RteAcl* acl, int algorithm) {
  return rte_acl_set_ctx_classify(acl->context, static_cast<enum rte_acl_classify_alg>(algorithm));
}

size_t rte_acl_peer_memory(const RteAcl* acl) {
  return acl->memory;
}

RteHeaders* rte_acl_peer_headers(const Header* headers, size_t count) {
  auto* made = new RteHeaders;
  made->fields.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const Header& h = headers[i];
    made->fields.push_back({static_cast<uint8_t>(h.field[4]),
                            {},
                            htonl(h.field[0]),
                            htonl(h.field[1]),
                            htons(static_cast<uint16_t>(h.field[2])),
                            htons(static_cast<uint16_t>(h.field[3]))});
    made->pointers.push_back(reinterpret_cast<const uint8_t*>(&made->fields.back()));
  }
  return made;
}

void rte_acl_peer_classify(const RteAcl* acl, const RteHeaders* headers, size_t from, uint32_t* results, size_t count) {
  auto** pointers = const_cast<const uint8_t**>(headers->pointers.data() + from);
  rte_acl_classify(acl->context, pointers, results, static_cast<uint32_t>(count), 1);
}

void rte_acl_peer_drop(RteAcl* acl) {
  rte_acl_free(acl->context);
  delete acl;
}
}
