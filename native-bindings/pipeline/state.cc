#include "pipeline/state.h"

#include <algorithm>

#include "tables/accounts.h"
#include "tables/connections.h"
#include "tables/counters.h"
#include "tables/flow_log.h"
#include "tables/fragments.h"
#include "tables/hits.h"
#include "tables/log_ring.h"
#include "tables/mac_table.h"
#include "tables/names.h"

namespace headgate {
namespace {

struct PartSpec {
  const char* name;
  uint32_t layout;
  uint64_t (*bytes)(uint32_t connections);  // of one worker, or of all
  bool each;
};

constexpr PartSpec kSpecs[kParts] = {
#define PART(id, name, layout, bytes, each) {name, layout, [](uint32_t connections) -> uint64_t { (void)connections; return bytes; }, each},
#include "pipeline/state.def"
#undef PART
};

// Names give the numbers that these hold; without one of them the others would speak of something else.
constexpr Part kTogether[] = {Part::kNames,    Part::kMacs,       Part::kConnections, Part::kAccounts,
                              Part::kHits,     Part::kCounters,   Part::kLogLines,    Part::kFlowMarks,
                              Part::kFragments, Part::kFlowRecords};

const PartSpec& spec_of(Part part) {
  return kSpecs[static_cast<size_t>(part)];
}

uint64_t bytes_of(Part part, const StateShape& shape) {
  return (spec_of(part).bytes(shape.connections) + 4095) / 4096 * 4096;
}

uint64_t bytes_of_all(Part part, const StateShape& shape) {
  return bytes_of(part, shape) * (spec_of(part).each ? shape.workers : 1);
}

}  // namespace

const char* name_of(Part part) {
  return spec_of(part).name;
}

std::unique_ptr<State> State::open(const std::string& directory, const StateShape& shape, std::string& error) {
  std::unique_ptr<State> state(new State(shape));
  for (size_t i = 0; i < kParts; ++i) {
    const Part part = static_cast<Part>(i);
    state->pools_[i] =
        Pool::open(directory + "/" + name_of(part), spec_of(part).layout, bytes_of_all(part, shape), error);
    if (!state->pools_[i]) return nullptr;
  }
  state->owned_ = true;
  if (!state->discard_together(error)) return nullptr;
  state->note_left();
  return state;
}

bool State::discard_together(std::string& error) {
  const auto pool = [this](Part part) -> Pool& { return *pools_[static_cast<size_t>(part)]; };
  for (const Part part : kTogether)
    if (!pool(part).discarded().empty())
      alarms_.push_back("The state '" + std::string(name_of(part)) + "' of the engine before was thrown away: " +
                        pool(part).discarded() + ". Connections begin anew.");
  const auto inherited = [&](Part part) { return pool(part).inherited(); };
  if (std::ranges::all_of(kTogether, inherited)) return true;
  for (const Part part : kTogether)
    if (inherited(part) && !pool(part).clear(error)) return false;
  left_ = Left::kNothing;
  return true;
}

void State::note_left() {
  const auto all = [this](bool (Pool::*is)() const) {
    return std::ranges::all_of(pools_, [is](const auto& pool) { return (pool.get()->*is)(); });
  };
  left_ = !all(&Pool::inherited) ? Left::kNothing : all(&Pool::was_clean) ? Left::kInOrder : Left::kInDisorder;
}

std::unique_ptr<State> State::attach(const std::string& directory, const StateShape& shape, std::string& error) {
  std::unique_ptr<State> state(new State(shape));
  for (size_t i = 0; i < kParts; ++i) {
    const Part part = static_cast<Part>(i);
    state->pools_[i] =
        Pool::attach(directory + "/" + name_of(part), spec_of(part).layout, bytes_of_all(part, shape), error);
    if (!state->pools_[i]) return nullptr;
  }
  return state;
}

bool State::acquire(std::string& error) {
  for (size_t i = 0; i < kParts; ++i) {
    if (pools_[i]->acquire(error)) continue;
    while (i-- > 0) pools_[i]->release(pools_[i]->was_clean());
    return false;
  }
  owned_ = true;
  note_left();
  return true;
}

void State::release(bool in_order) {
  if (!owned_) return;
  owned_ = false;
  for (auto& pool : pools_) pool->release(in_order);
}

std::span<uint8_t> State::memory(Part part, unsigned worker) const {
  const uint64_t bytes = bytes_of(part, shape_);
  return {pools_[static_cast<size_t>(part)]->content() + bytes * worker, bytes};
}

uint64_t State::generation() const {
  return pools_[0]->generation();
}

}  // namespace headgate
