#include "tables/flow_log.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace headgate {

const char* name_of(FlowEnd end) {
  constexpr const char* kNames[] = {"", "idle-timeout", "active-timeout", "end-of-flow", "forced-end", "no-room"};
  return kNames[static_cast<int>(end)];
}

FlowEnd end_of(const Connection& c) {
  const bool denied = c.timeout_class() == TimeoutClass::kDenied;
  if (is_ended(c) || (denied && (c.packets(0) || c.packets(1)))) return FlowEnd::kForced;
  return is_closed(c) ? FlowEnd::kEnd : FlowEnd::kIdle;
}

FlowLog::FlowLog(const HitTable& hits, uint32_t connections, uint8_t* records, uint8_t* marks)
    : hits_(hits),
      connections_(connections),
      record_memory_(records, kRecordBytes),
      mark_memory_(marks, mark_bytes(connections)),
      head_(record_memory_.at<Head>()),
      records_(record_memory_.at<FlowRecord>(64)),
      marks_(mark_memory_.at<Mark>()) {}

void FlowLog::begin() {
  if (head_->begun == 1 && head_->count <= kRecords) return;
  *head_ = {};
  head_->begun = 1;
  wipe(marks_, mark_bytes(connections_));
}

bool FlowLog::push(const ConnectionTable& table, const Connection& c, const Mark& mark, FlowEnd end) {
  if (head_->count >= kRecords) return false;
  FlowRecord& record = records_[(head_->first + head_->count) % kRecords];
  record = {};
  record.connection = c;
  record.flow = table.flow_of(c);
  const bool silent = static_cast<int32_t>(c.last_seen - mark.time) < 0;  // since the record before
  record.start = !mark.time ? c.created : silent ? c.last_seen : mark.time;
  record.end = end;
  for (int side = 0; side < 2; ++side) {
    record.connection.tally[side] -= mark.packets[side];
    record.connection.bytes[side] -= mark.bytes[side];
    if (!c.verdict[side].epoch) continue;
    const Hit& hit = hits_[c.verdict[side].hit];
    record.judges[side] = {hit.entry, hit.workload, hit.direction};
  }
  ++head_->count;
  return true;
}

bool FlowLog::take(std::vector<FlowRecord>& records, uint32_t most) {
  for (; head_->count && most; --head_->count, --most) records.push_back(records_[head_->first++ % kRecords]);
  return head_->count;
}

void FlowLog::ended(const ConnectionTable& table, const Connection& c, FlowEnd why) {
  Mark& mark = marks_[table.place_of(c)];
  if (!push(table, c, mark, why)) ++head_->lost;
  if (mark.time) mark = {};
}

bool FlowLog::report_lasting(const ConnectionTable& table, uint32_t count, uint32_t now, uint32_t after) {
  head_->next = table.walk(head_->next, count, [&](const Connection& c) {
    if (now - c.created < after) return;
    Mark& mark = marks_[table.place_of(c)];
    const uint32_t last = mark.time ? mark.time : c.created;
    const bool had_frames = !mark.time || static_cast<int32_t>(c.last_seen - last) > 0;
    if (now - last < after || !had_frames || !push(table, c, mark, FlowEnd::kActive)) return;
    mark = {{c.packets(0), c.packets(1)}, {c.bytes[0], c.bytes[1]}, now ? now : 1};
  });
  return head_->next != 0;
}

uint64_t FlowLog::take_lost() {
  return std::exchange(head_->lost, 0);
}

}  // namespace headgate
