#include "tables/flow_log.h"

#include <sys/mman.h>

#include <iterator>
#include <new>
#include <utility>

namespace headgate {

const char* name_of(FlowEnd end) {
  constexpr const char* kNames[] = {"", "idle-timeout", "active-timeout", "end-of-flow", "forced-end", "no-room"};
  return kNames[static_cast<int>(end)];
}

FlowEnd end_of(const Connection& c) {
  const bool denied = c.timeout_class == TimeoutClass::kDenied;
  if (is_ended(c) || (denied && c.state != ConnectionState::kNew)) return FlowEnd::kForced;
  const bool closed = c.state == ConnectionState::kClosing || c.state == ConnectionState::kReset;
  return closed ? FlowEnd::kEnd : FlowEnd::kIdle;
}

FlowLog::FlowLog(const HitTable& hits, uint32_t connections) : hits_(hits), connections_(connections) {
  void* memory =
      mmap(nullptr, mark_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  marks_ = static_cast<Mark*>(memory);
  records_.reserve(kRecords);
}

FlowLog::~FlowLog() {
  munmap(marks_, mark_bytes());
}

bool FlowLog::push(const ConnectionTable& table, const Connection& c, const Mark& mark, FlowEnd end) {
  if (records_.size() == kRecords) return false;
  FlowRecord& record = records_.emplace_back();
  record.connection = c;
  record.flow = table.flow_of(c);
  const bool silent = static_cast<int32_t>(c.last_seen - mark.time) < 0;  // since the record before
  record.start = !mark.time ? c.created : silent ? c.last_seen : mark.time;
  record.end = end;
  for (int side = 0; side < 2; ++side) {
    record.connection.packets[side] -= mark.packets[side];
    record.connection.bytes[side] -= mark.bytes[side];
    if (!c.verdict[side].epoch) continue;
    const Hit& hit = hits_[c.verdict[side].hit];
    record.judges[side] = {hit.entry, hit.workload, hit.direction};
  }
  return true;
}

void FlowLog::ended(const ConnectionTable& table, const Connection& c, FlowEnd why) {
  Mark& mark = marks_[table.place_of(c)];
  if (!push(table, c, mark, why)) ++lost_;
  if (mark.time) mark = {};
}

bool FlowLog::report_lasting(const ConnectionTable& table, uint32_t count, uint32_t now, uint32_t after) {
  next_ = table.walk(next_, count, [&](const Connection& c) {
    if (now - c.created < after) return;
    Mark& mark = marks_[table.place_of(c)];
    const uint32_t last = mark.time ? mark.time : c.created;
    const bool had_frames = !mark.time || static_cast<int32_t>(c.last_seen - last) > 0;
    if (now - last < after || !had_frames || !push(table, c, mark, FlowEnd::kActive)) return;
    mark = {{c.packets[0], c.packets[1]}, {c.bytes[0], c.bytes[1]}, now ? now : 1};
  });
  return next_ != 0;
}

uint64_t FlowLog::take_lost() {
  return std::exchange(lost_, 0);
}

}  // namespace headgate
