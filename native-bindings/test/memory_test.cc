// What is removed leaves nothing behind: memory is where it began after a thousand rounds of everything that comes, is
// edited and goes.
#include <doctest/doctest.h>
#include <malloc.h>

#include "test/bed.h"

#if defined(__SANITIZE_ADDRESS__)
extern "C" size_t __sanitizer_get_current_allocated_bytes();
#endif

namespace headgate::test {
namespace {

size_t allocated() {
#if defined(__SANITIZE_ADDRESS__)
  return __sanitizer_get_current_allocated_bytes();
#else
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#endif
}

std::string numbered(const char* kind, int n) {
  return kind + std::to_string(n);
}

Delta arrivals(int round) {
  Delta d;
  for (int i = 0; i < 10; ++i) {
    const int n = round * 10 + i;
    d.set_workloads.push_back(workload(
        numbered("w", n), Mac{2, 1, 0, 0, static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n)}, {{"10.0.0.1"}}));
    d.set_address_sets.push_back({numbered("s", n), "1", {"10.0.0.0/8", "fd00::/16"}});
    RuleChange r = rule(numbered("r", n), Action::kAllow);
    r.sources = {{numbered("s", n), "kept"}};
    r.services = std::vector<ServiceMatch>{{kTcp, -1, -1, {{80, 80}}, {{1, 5}}}};
    d.set_rules.push_back(r);
    d.set_scopes.push_back({numbered("c", n), "1", {numbered("w", n), "a", "b"}});
    d.set_entries.push_back(entry(numbered("e", n), numbered("r", n), static_cast<uint64_t>(n), numbered("c", n)));
  }
  d.set_segments.push_back({numbered("g", round), "1", 0, 0, "lan"});
  d.edit_scopes.push_back({"kept", "1", {numbered("w", round * 10)}, {}});
  return d;
}

Delta edits(int round) {
  Delta d;
  for (int i = 0; i < 10; ++i) {
    const int n = round * 10 + i;
    d.edit_address_sets.push_back({numbered("s", n), "2", {"11.0.0.0/8"}, {"10.1.0.0/16"}});
    d.edit_scopes.push_back({numbered("c", n), "2", {}, {"b"}});
    d.set_entries.push_back(
        entry(numbered("e", n), numbered("r", round * 10), static_cast<uint64_t>(n + 5000), "kept"));
  }
  return d;
}

Delta departures(int round) {
  Delta d;
  for (int i = 0; i < 10; ++i) {
    const int n = round * 10 + i;
    d.remove_workloads.push_back(numbered("w", n));
    d.remove_address_sets.push_back(numbered("s", n));
    d.remove_rules.push_back(numbered("r", n));
    d.remove_scopes.push_back(numbered("c", n));
    d.remove_entries.push_back(numbered("e", n));
  }
  d.remove_segments.push_back(numbered("g", round));
  d.edit_scopes.push_back({"kept", "1", {}, {numbered("w", round * 10)}});
  return d;
}

TEST_CASE("memory is where it began after a thousand rounds of coming and going") {
  Bed bed;
  Delta kept;
  kept.set_address_sets = {{"kept", "1", {"10.0.0.0/8"}}};
  kept.set_scopes = {{"kept", "1", {"a"}}};
  bed.publish(kept);
  const auto round = [&](int n) {
    bed.publish(arrivals(n));
    bed.publish(edits(n));
    bed.reached("a", Packet{}, "b");
    bed.publish(departures(n));
  };
  for (int n = 0; n < 100; ++n) round(n);  // tables have grown to what they need
  const size_t before = allocated();
  for (int n = 100; n < 1100; ++n) round(n);
  const size_t after = allocated();
  CHECK_MESSAGE(after <= before + 4096, before << " -> " << after);
}

}  // namespace
}  // namespace headgate::test
