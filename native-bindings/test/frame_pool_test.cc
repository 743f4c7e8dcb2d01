// FramePool: lends each buffer once, and buffers neither overlap nor fall into the same cache sets.
#include "packet/frame_pool.h"

#include <doctest/doctest.h>

#include <cstring>
#include <set>

#include "packet/virtio.h"

namespace headgate::test {
namespace {

TEST_CASE("a pool lends every frame once and takes it back") {
  FramePool pool(3);
  std::set<Frame*> lent;
  for (int i = 0; i < 3; i++) lent.insert(pool.acquire());
  CHECK(lent.size() == 3);
  CHECK(lent.count(nullptr) == 0);
  CHECK(pool.acquire() == nullptr);
  CHECK(pool.available() == 0);
  Frame* last = *lent.begin();
  pool.release(last);
  CHECK(pool.available() == 1);
  CHECK(pool.acquire() == last);
}

TEST_CASE("an acquired frame carries nothing of its last use") {
  FramePool pool(1);
  Frame* frame = pool.acquire();
  frame->data -= 4;
  frame->length = 100;
  frame->offload.kind = Offload::kTcp4;
  frame->headers.layer4_offset = 34;
  frame->port = 1;
  frame->connection = reinterpret_cast<Connection*>(frame);
  frame->source = reinterpret_cast<const Workload*>(frame);
  frame->segment = reinterpret_cast<const Segment*>(frame);
  frame->destination = frame->source;
  frame->tracker = 3;
  frame->reply = true;
  frame->joined = true;
  pool.release(frame);
  REQUIRE(pool.acquire() == frame);
  CHECK(frame->data == frame->buffer + kHeadroom);
  CHECK(frame->length == 0);
  CHECK(frame->offload.kind == Offload::kNone);
  CHECK(frame->headers.layer4_offset == 0);
  CHECK(frame->port == kNoPort);
  CHECK(frame->connection == nullptr);
  CHECK(frame->source == nullptr);
  CHECK(frame->segment == nullptr);
  CHECK(frame->destination == nullptr);
  CHECK(frame->tracker == 0);
  CHECK_FALSE(frame->reply);
  CHECK_FALSE(frame->joined);
}

TEST_CASE("buffers hold the largest frame, do not overlap, and start in different cache sets") {
  constexpr size_t kCount = 64;
  FramePool pool(kCount);
  std::vector<Frame*> frames;
  std::set<uintptr_t> sets;
  for (size_t i = 0; i < kCount; i++) {
    frames.push_back(pool.acquire());
    sets.insert(reinterpret_cast<uintptr_t>(frames.back()->data) % 4096 / 64);
    std::memset(frames.back()->buffer, static_cast<int>(i), kHeadroom + kMaxFrame);
  }
  CHECK(sets.size() == 64);
  for (size_t i = 0; i < kCount; i++) {
    CHECK(frames[i]->buffer[0] == i);
    CHECK(frames[i]->buffer[kHeadroom + kMaxFrame - 1] == i);
  }
}

TEST_CASE("the virtio-net header survives its wire form") {
  Offload offload;
  offload.kind = Offload::kTcp6;
  offload.ecn = true;
  offload.partial_checksum = true;
  offload.header_length = 74;
  offload.segment_size = 1440;
  offload.checksum_start = 54;
  offload.checksum_offset = 16;
  uint8_t wire[kWireOffload];
  write_offload(offload, wire);
  const uint8_t wanted[] = {1, 0x84, 74, 0, 0xa0, 0x05, 54, 0, 16, 0};
  CHECK(std::memcmp(wire, wanted, sizeof wanted) == 0);
  const Offload read = read_offload(wire);
  CHECK(read.kind == Offload::kTcp6);
  CHECK(read.ecn);
  CHECK(read.partial_checksum);
  CHECK_FALSE(read.checksum_valid);
  CHECK(read.header_length == 74);
  CHECK(read.segment_size == 1440);
  CHECK(read.checksum_start == 54);
  CHECK(read.checksum_offset == 16);
}

}  // namespace
}  // namespace headgate::test
