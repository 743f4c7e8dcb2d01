// What protocol and ports say about slots. All services are written in one 32-bit key: a domain in bits 16 to 18 and a
// port, an ICMP type and code, or a protocol number below it; source ports are a domain of their own. A slot stands for
// alternatives of one rule with the same source ports: so it matches where both of its halves do.
//
// A specification, the keys that a slot takes, is interned: many rules name the same services. The class of a key is
// the set of specifications that hold it, and has one bitmap: the slots with one of them.
#pragma once

#include <array>
#include <map>

#include "packet/headers.h"
#include "tables/class_trie.h"
#include "tables/rule.h"
#include "tables/word_set.h"

namespace headgate {

using SpecId = uint32_t;
constexpr SpecId kAnyService = 0;

// One slot's share of a rule's services.
struct ServicePart {
  std::vector<KeyRange<uint32_t>> keys;         // sorted, disjoint
  std::vector<KeyRange<uint32_t>> source_keys;  // empty: any source port
  bool any = false;                             // any service at all
};
std::vector<ServicePart> service_parts(const Rule& rule);

enum ServiceDomain : uint8_t { kTcpPorts, kUdpPorts, kSctpPorts, kIcmpTypes, kIcmp6Types, kProtocols, kSourcePorts };

constexpr std::array<uint8_t, 256> kServiceDomains = [] {
  std::array<uint8_t, 256> domains;
  domains.fill(kProtocols);
  domains[kTcp] = kTcpPorts, domains[kUdp] = kUdpPorts, domains[kSctp] = kSctpPorts;
  domains[kIcmp] = kIcmpTypes, domains[kIcmp6] = kIcmp6Types;
  return domains;
}();

inline uint32_t service_key(const FlowHeaders& flow) {
  uint32_t domain = kServiceDomains[flow.protocol];
  uint32_t types = static_cast<uint32_t>(flow.icmp_type) << 8 | flow.icmp_code;
  uint32_t value = domain >= kIcmpTypes ? types : flow.destination_port;
  return domain << 16 | (domain == kProtocols ? flow.protocol : value);
}
inline uint32_t source_port_key(const FlowHeaders& flow) {
  return uint32_t{kSourcePorts} << 16 | flow.source_port;
}

class ServiceClasses {
 public:
  explicit ServiceClasses(Arena& arena) : arena_(arena), trie_(arena) { trie_.update(map_, {0, UINT32_MAX}); }

  // The specification of these keys; each acquire is released once.
  SpecId acquire(const std::vector<KeyRange<uint32_t>>& keys);
  void release(SpecId spec);
  void add_slot(SpecId spec, uint32_t slot);
  // Carries out what was acquired and added; then readers may use root().
  void commit();
  // Takes the slot out. No reader counts it any more.
  void remove_slot(SpecId spec, uint32_t slot);
  void settle();

  uint32_t root() const { return trie_.root(); }
  const uint32_t* records() const { return records_.data(); }
  size_t memory() const;

 private:
  struct Spec {
    std::vector<KeyRange<uint32_t>> keys;
    std::vector<uint32_t> slots;
    uint32_t uses = 0;
    bool mapped = false;  // in the class map
  };
  using Keys = std::vector<std::pair<uint32_t, uint32_t>>;
  template <class Visit>
  void each_class(SpecId spec, Visit visit) const;
  void make_record(ClassId id);
  void derive_record(ClassId id, ClassId from);
  void set_record(ClassId id, uint32_t record);

  Arena& arena_;
  Classes classes_;
  ClassMap<uint32_t> map_{classes_};
  ClassTrie trie_;
  std::vector<Spec> specs_{1};
  std::map<Keys, SpecId> index_;
  std::vector<SpecId> free_specs_, new_specs_, unused_;
  std::vector<std::pair<SpecId, uint32_t>> new_slots_;
  std::vector<ClassId> leaving_;
  Reserved<uint32_t> records_{1 << 20};
  WordGatherer gatherer_;
};

}  // namespace headgate
