// A wrapper around a memory port: faults that follow from their seed.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "ports/faults.h"
#include "test/frames.h"

namespace headgate::test {
namespace {

// A memory port inside a wrapper, and the way to it.
struct Inner {
  std::unique_ptr<MemoryPort> owned;
  MemoryPort* memory;
  explicit Inner(size_t capacity = 65536)
      : owned(std::make_unique<MemoryPort>(PortCapabilities{true, true, true, 1}, capacity)), memory(owned.get()) {}
};

struct Run {
  std::vector<Bytes> received;
  FaultCounts counts;
};

// Of many lengths, each frame another.
std::vector<Bytes> thousand_frames() {
  std::vector<Bytes> all;
  for (uint32_t i = 0; i < 1000; i++) all.push_back(plain_frame(60 + i % 100, i));
  return all;
}

// 1,000 frames through a faulty port, 32 at a time.
Run run_faults(const Faults& faults) {
  Inner inner;
  FaultyPort port(std::move(inner.owned), faults);
  for (const Bytes& bytes : thousand_frames()) inner.memory->push(bytes);
  Batch batch(32);
  Run run;
  for (int i = 0; i < 1000 / 32 + 1; i++) {
    const size_t count = port.receive(0, batch.frames());
    for (size_t i = 0; i < count; i++) run.received.push_back(batch.get(i).bytes);
  }
  run.counts = port.counts();
  return run;
}

TEST_CASE("the same seed makes the same faults, another seed others") {
  const Faults faults{.seed = 7, .drop = 0.1, .duplicate = 0.1, .reorder = 0.1, .corrupt = 0.1, .truncate = 0.1};
  const Run first = run_faults(faults), second = run_faults(faults);
  CHECK(first.received == second.received);
  Faults other = faults;
  other.seed = 8;
  CHECK(run_faults(other).received != first.received);
}

TEST_CASE("each fault does what its name says to about as many frames as asked for") {
  const std::vector<Bytes> all = thousand_frames();
  CHECK(run_faults({}).received == all);

  const Run dropped = run_faults({.drop = 0.2});
  CHECK(dropped.received.size() == 1000 - dropped.counts.dropped);
  CHECK(dropped.counts.dropped > 100);
  CHECK(dropped.counts.dropped < 300);
  auto next = all.begin();
  for (const Bytes& bytes : dropped.received) {  // the others, in their order
    next = std::find(next, all.end(), bytes);
    REQUIRE(next++ != all.end());
  }

  size_t first_of_batch = 0;  // any place in a batch is hit, not only its end
  for (size_t i = 0; i < 1000; i += 32) {
    first_of_batch += std::count(dropped.received.begin(), dropped.received.end(), all[i]) == 0;
  }
  CHECK(first_of_batch > 0);

  const Run duplicated = run_faults({.drop = 0.5, .duplicate = 0.2});  // drops make room in the batch
  CHECK(duplicated.counts.duplicated > 50);
  CHECK(duplicated.received.size() == 1000 - duplicated.counts.dropped + duplicated.counts.duplicated);
  const std::set<Bytes> known(all.begin(), all.end());
  const std::set<Bytes> seen(duplicated.received.begin(), duplicated.received.end());
  CHECK(std::includes(known.begin(), known.end(), seen.begin(), seen.end()));
  CHECK(seen.size() == 1000 - duplicated.counts.dropped);

  Run reordered = run_faults({.reorder = 0.2});
  CHECK(reordered.counts.reordered > 100);
  CHECK(reordered.received != all);
  std::sort(reordered.received.begin(), reordered.received.end());
  std::vector<Bytes> sorted = all;
  std::sort(sorted.begin(), sorted.end());
  CHECK(reordered.received == sorted);

  const Run corrupted = run_faults({.corrupt = 0.2});
  size_t different = 0;
  for (size_t i = 0; i < 1000; i++) {
    REQUIRE(corrupted.received[i].size() == all[i].size());
    different += corrupted.received[i] != all[i];
  }
  CHECK(different == corrupted.counts.corrupted);
  CHECK(different > 100);

  const Run truncated = run_faults({.truncate = 0.2});
  size_t shorter = 0;
  for (size_t i = 0; i < 1000; i++) shorter += truncated.received[i].size() < all[i].size();
  CHECK(shorter == truncated.counts.truncated);
  CHECK(shorter > 100);
}

TEST_CASE("refused frames are said to be refused and do not arrive") {
  Inner inner;
  FaultyPort port(std::move(inner.owned), {.refuse = 0.5});
  Batch batch(200);
  for (uint32_t i = 0; i < 200; i++) batch.set(i, plain_frame(60, i));
  std::vector<Reason> outcomes(200, Reason::kCount);
  port.transmit(0, batch.frames(), outcomes);
  std::vector<Bytes> sent;
  for (uint32_t i = 0; i < 200; i++) {
    if (outcomes[i] == Reason::kNone) sent.push_back(plain_frame(60, i));
  }
  CHECK(sent.size() == 200 - port.counts().refused);
  CHECK(port.counts().refused > 50);
  const auto taken = inner.memory->take();
  REQUIRE(taken.size() == sent.size());
  for (size_t i = 0; i < sent.size(); i++) CHECK(taken[i].bytes == sent[i]);
}

}  // namespace
}  // namespace headgate::test
