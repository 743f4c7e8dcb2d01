// The connection table alone, and a plain std::unordered_map in its place: insertions and lookups a second as it fills.
#include <sys/mman.h>

#include <unordered_map>

#include "bench/conns_flows.h"
#include "tables/connections.h"

namespace headgate::bench {
namespace {

constexpr uint32_t kNow = 1'000'000;

Headers headers_of(uint32_t number, bool ipv6, bool reply) {
  const Client client(number);
  Headers h;
  h.layer3 = ipv6 ? Layer3::kIpv6 : Layer3::kIpv4;
  h.protocol = kUdp;
  h.source = client_address(client.address, ipv6);
  h.source_port = client.port;
  h.destination = server_address(ipv6);
  h.destination_port = kServerPort;
  if (reply) {
    std::swap(h.source, h.destination);
    std::swap(h.source_port, h.destination_port);
  }
  return h;
}

void hash(Headers& h) {
  h.hash = hash_flow(h.source, h.source_port, h.destination, h.destination_port, h.protocol, kSecret);
}

class Table {
 public:
  explicit Table(const ConnsOptions& options) : table_(memory(options), options.count) { table_.set_secret(kSecret); }
  bool insert(Headers& h) {
    hash(h);
    Connection* c = table_.insert(h, 1, kNow);
    if (c) table_.touch(*c, TimeoutClass::kUdpTwoWay, kNow);
    return c;
  }
  bool find(Headers& h) {
    hash(h);
    bool reply;
    Connection* c = table_.find(h, 1, kNow + 1, profiles_, reply);
    if (c) c->last_seen = kNow + 1;
    return c;
  }
  // What ageing takes of a batch at worst: connections of all classes are past their time.
  std::string expire_all() {
    std::vector<Connection*> all;
    uint32_t classes = 0;
    table_.walk(0, UINT32_MAX, [&](const Connection& c) { all.push_back(const_cast<Connection*>(&c)); });
    for (Connection* c : all) table_.touch(*c, static_cast<TimeoutClass>(1 + classes++ % kClasses), kNow + 2);
    Stopwatch ageing(all.size() / kConnsBatch);
    while (table_.size()) ageing.batch([&] { table_.expire(kNow + 10'000'000, profiles_, kConnsBatch); });
    return ageing.json();
  }

 private:
  static constexpr uint32_t kClasses = static_cast<uint32_t>(TimeoutClass::kCount) - 1;
  static uint8_t* memory(const ConnsOptions& options) {
    const uint64_t bytes = ConnectionTable::bytes_for(options.count);
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || (options.huge && madvise(memory, bytes, MADV_HUGEPAGE) != 0)) {
      perror("bench_conns: mmap");
      exit(1);
    }
    return static_cast<uint8_t*>(memory);
  }
  ConnectionTable table_;
  Profiles profiles_;
};

// A record of what Headgate keeps of a flow, without what it ages it by, under a key that is the same for both
// directions.
class Map {
 public:
  explicit Map(const ConnsOptions&) {}
  bool insert(Headers& h) { return map_.try_emplace(key_of(h)).second; }
  bool find(Headers& h) {
    auto found = map_.find(key_of(h));
    if (found == map_.end()) return false;
    found->second.last_seen = kNow + 1;
    return true;
  }

 private:
  struct Key {
    Address low, high;
    uint16_t low_port, high_port, tracker;
    uint8_t protocol;
    bool operator==(const Key&) const = default;
  };
  struct Record {
    Verdict verdict[2];
    uint32_t last_seen, created;
    uint64_t packets[2], bytes[2];
  };
  struct Hash {
    size_t operator()(const Key& k) const {
      return hash_flow(k.low, k.low_port, k.high, k.high_port, k.protocol, kSecret);
    }
  };
  static Key key_of(const Headers& h) {
    const bool turn = h.source.number() > h.destination.number();
    return {turn ? h.destination : h.source,
            turn ? h.source : h.destination,
            turn ? h.destination_port : h.source_port,
            turn ? h.source_port : h.destination_port,
            1,
            h.protocol};
  }
  std::unordered_map<Key, Record, Hash> map_;
};

// Flows a second of processor time. Headers are made beforehand; those for which `act` is true are counted.
double rate(uint32_t flows, bool ipv6, bool reply, uint32_t expected, Stopwatch& watch, auto&& numbers, auto&& act) {
  std::array<Headers, kConnsBatch> batch;
  uint32_t right = 0;
  const double begun = watch.seconds();
  for (uint32_t done = 0; done < flows; done += kConnsBatch) {
    const uint32_t count = std::min(kConnsBatch, flows - done);
    for (uint32_t i = 0; i < count; ++i) batch[i] = headers_of(numbers.next(), ipv6, reply);
    watch.batch([&] {
      for (uint32_t i = 0; i < count; ++i) right += act(batch[i]);
    });
  }
  if (right != expected) {
    fprintf(stderr, "bench_conns: %u of %u flows were found or made, %u should have been\n", right, flows, expected);
    exit(1);
  }
  return flows / (watch.seconds() - begun);
}

template <class Store>
int measure(const ConnsOptions& options) {
  const uint32_t count = options.count;
  Store store(options);
  auto insert = [&](Headers& h) { return store.insert(h); };
  auto find = [&](Headers& h) { return store.find(h); };
  Stopwatch inserting(count / kConnsBatch + kSteps + 1);
  InOrder fresh(0);
  uint32_t filled = 0;
  printf("{\"connections\": %u, \"steps\": [", count);
  for (uint32_t step = 1; step <= kSteps; ++step) {
    const uint32_t flows = static_cast<uint32_t>(uint64_t{count} * step / kSteps) - filled;
    filled += flows;
    const uint32_t looked = std::min(filled, 200'000u);
    Stopwatch hitting(looked), missing(looked);
    const double inserts = rate(flows, options.ipv6, false, flows, inserting, fresh, insert);
    const double hits = rate(looked, options.ipv6, true, looked, hitting, Jumbled(filled), find);
    const double misses = rate(looked, options.ipv6, false, 0, missing, InOrder(count), find);
    printf("%s{\"percent\": %u, \"insert\": %.0f, \"hit\": %.0f, \"miss\": %.0f, \"resident\": %.0f}",
           step > 1 ? ", " : "", step * 100 / kSteps, inserts, hits, misses, resident(inserting, hitting, missing));
  }
  printf("], \"fill\": %s", inserting.json().c_str());
  if constexpr (std::is_same_v<Store, Table>) printf(", \"allClasses\": %s", store.expire_all().c_str());
  printf("}\n");
  return 0;
}

}  // namespace

int conns_table(const ConnsOptions& options) {
  return measure<Table>(options);
}
int conns_map(const ConnsOptions& options) {
  return measure<Map>(options);
}

}  // namespace headgate::bench
