#include "pipeline/state.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "pipeline/convert.h"
#include "tables/counters.h"
#include "tables/crossings.h"
#include "tables/expectations.h"
#include "tables/flow_log.h"
#include "tables/fragments.h"
#include "tables/helpers.h"
#include "tables/log_ring.h"
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
#define PART(id, name, layout, bytes, each) \
  {name, layout, []([[maybe_unused]] uint32_t connections) -> uint64_t { return bytes; }, each},
#include "pipeline/state.def"
#undef PART
};

// Names give the numbers that the others hold; without one of these they would speak of something else.
constexpr Part kTogether[] = {Part::kNames, Part::kConnections, Part::kAccounts, Part::kHits};
// What holds records of connections, and so has their layout.
constexpr Part kRecords[] = {Part::kConnections, Part::kFlowRecords};
constexpr uint32_t kFewRecords = 256;
constexpr int kMostUpdates = 8;

const PartSpec& spec_of(Part part) {
  return kSpecs[static_cast<size_t>(part)];
}

uint64_t whole_pages(uint64_t bytes) {
  return (bytes + 4095) / 4096 * 4096;
}

uint64_t bytes_of(Part part, const StateShape& shape) {
  return whole_pages(spec_of(part).bytes(shape.connections));
}

uint64_t bytes_of_all(Part part, const StateShape& shape) {
  return bytes_of(part, shape) * (spec_of(part).each ? shape.workers : 1);
}

uint64_t bytes_in(const RecordLayout& layout, Part part, const StateShape& shape) {
  return whole_pages(part == Part::kConnections ? Conversion::connection_bytes(layout, shape.connections)
                                                : Conversion::flow_record_bytes(layout));
}

bool holds_records(Part part) {
  return std::ranges::count(kRecords, part) > 0;
}

}  // namespace

const char* name_of(Part part) {
  return spec_of(part).name;
}

std::vector<std::pair<std::string, uint32_t>> layouts_of_parts() {
  std::vector<std::pair<std::string, uint32_t>> layouts;
  for (const PartSpec& spec : kSpecs) layouts.emplace_back(spec.name, spec.layout);
  return layouts;
}

// A copy of the parts with records in another layout: `others` is its source or its target, the state's own pools are
// the other side.
struct State::Copy {
  const RecordLayout& layout;
  Conversion::Way way;
  Conversion conversion;
  std::unique_ptr<Pool> others[std::size(kRecords)];
  bool begun = false;

  Copy(const RecordLayout& l, Conversion::Way w, const StateShape& shape)
      : layout(l), way(w), conversion(l, w, shape) {}
  uint8_t* other(size_t part, unsigned worker, const StateShape& shape) const {
    return others[part]->content() + bytes_in(layout, kRecords[part], shape) * worker;
  }
};

State::State(const std::string& directory, const StateShape& shape) : directory_(directory), shape_(shape) {}

State::~State() = default;

std::string State::path(Part part) const {
  return directory_ + "/" + name_of(part);
}

std::unique_ptr<State> State::open(const std::string& directory, const StateShape& shape, std::string& error) {
  std::unique_ptr<State> state(new State(directory, shape));
  // The first of them says whether another engine is in charge: only then anything may be touched.
  if (!state->open_part(Part::kNames, error) || !state->convert_before_start(error)) return nullptr;
  for (size_t i = 0; i < kParts; ++i)
    if (!state->pools_[i] && !state->open_part(static_cast<Part>(i), error)) return nullptr;
  state->owned_ = true;
  if (!state->discard_together(error)) return nullptr;
  state->note_left();
  state->clean_up();
  return state;
}

bool State::open_part(Part part, std::string& error) {
  auto& pool = pools_[static_cast<size_t>(part)];
  pool = Pool::open(path(part), spec_of(part).layout, bytes_of_all(part, shape_), error);
  return pool != nullptr;
}

// An engine of another version has ended: its records are brought into this layout first.
bool State::convert_before_start(std::string& error) {
  clean_up();
  const auto found = Pool::look(path(Part::kConnections));
  const RecordLayout* former = found ? find_layout(found->layout) : nullptr;
  if (!former) return true;
  for (const Part part : kRecords)
    if (!attach_other_layout(part, former->number, error)) {
      drop_copy();  // it is thrown away below
      return true;
    }
  bool in_order = true;
  for (auto& other : copy_->others) {
    if (!other->acquire(error)) return false;
    in_order &= other->was_clean();
  }
  update_copy();
  finish_copy();
  if (!exchange_names()) {
    error = std::string("Cannot put converted pools in their places: ") + strerror(errno);
    return false;
  }
  for (const Part part : kRecords) {
    pool(part).release(in_order);
    pools_[static_cast<size_t>(part)] = nullptr;
  }
  copy_ = nullptr;
  renames_ = false;
  return true;
}

bool State::discard_together(std::string& error) {
  for (size_t i = 0; i < kParts; ++i)
    if (!pools_[i]->discarded().empty())
      alarms_.push_back("The state '" + std::string(name_of(static_cast<Part>(i))) +
                        "' of the engine before was thrown away: " + pools_[i]->discarded() + ".");
  const auto inherited = [&](Part part) { return pool(part).inherited(); };
  if (std::ranges::all_of(kTogether, inherited)) return true;
  for (auto& pool : pools_)
    if (pool->inherited() && !pool->clear(error)) return false;
  if (!alarms_.empty()) alarms_.push_back("The engine began without the connections of the one before.");
  return true;
}

void State::note_left() {
  const auto all = [this](bool (Pool::*is)() const) {
    return std::ranges::all_of(kTogether, [&](Part part) { return (pool(part).*is)(); });
  };
  left_ = !all(&Pool::inherited) ? Left::kNothing : all(&Pool::was_clean) ? Left::kInOrder : Left::kInDisorder;
}

std::unique_ptr<State> State::attach(const std::string& directory, const StateShape& shape, std::string& error) {
  std::unique_ptr<State> state(new State(directory, shape));
  for (size_t i = 0; i < kParts; ++i)
    if (!state->attach_part(static_cast<Part>(i), error)) return nullptr;
  return state;
}

bool State::attach_part(Part part, std::string& error) {
  const auto found = Pool::look(path(part));
  if (found && holds_records(part) && found->layout != spec_of(part).layout) {
    if (find_layout(found->layout)) return attach_other_layout(part, found->layout, error);
    renames_ = true;  // the engine in charge makes the copy
  }
  const std::string file = renames_ && holds_records(part) ? next_path(part) : path(part);
  auto& pool = pools_[static_cast<size_t>(part)];
  pool = Pool::attach(file, spec_of(part).layout, bytes_of_all(part, shape_), error);
  return pool != nullptr;
}

bool State::attach_other_layout(Part part, uint32_t number, std::string& error) {
  const RecordLayout& layout = *find_layout(number);
  if (!copy_) copy_ = std::make_unique<Copy>(layout, Conversion::Way::kToCurrent, shape_);
  auto& other = copy_->others[std::ranges::find(kRecords, part) - kRecords];
  other = Pool::attach(path(part), number, bytes_in(layout, part, shape_) * shape_.workers, error);
  if (!other) return false;
  renames_ = true;
  unlink(next_path(part).c_str());
  auto& pool = pools_[static_cast<size_t>(part)];
  pool = Pool::open(next_path(part), spec_of(part).layout, bytes_of_all(part, shape_), error);
  return pool != nullptr;
}

bool State::convert_for(uint32_t number, std::string& error) {
  const RecordLayout* layout = find_layout(number);
  if (!layout) {
    error = "neither version knows the other's layout of a connection (" + std::to_string(number) + " and " +
            std::to_string(ConnectionTable::kLayout) + ")";
    return false;
  }
  copy_ = std::make_unique<Copy>(*layout, Conversion::Way::kFromCurrent, shape_);
  for (size_t i = 0; i < std::size(kRecords); ++i) {
    unlink(next_path(kRecords[i]).c_str());
    copy_->others[i] =
        Pool::open(next_path(kRecords[i]), number, bytes_in(*layout, kRecords[i], shape_) * shape_.workers, error);
    if (!copy_->others[i]) {
      drop_copy();
      return false;
    }
  }
  return true;
}

uint32_t State::update_copy() {
  uint32_t all = 0;
  const bool forwards = copy_->way == Conversion::Way::kToCurrent;
  for (unsigned worker = 0; worker < shape_.workers; ++worker) {
    uint8_t* ours =
        pools_[static_cast<size_t>(Part::kConnections)]->content() + bytes_of(Part::kConnections, shape_) * worker;
    uint8_t* theirs = copy_->other(0, worker, shape_);
    const uint8_t* from = forwards ? theirs : ours;
    uint8_t* to = forwards ? ours : theirs;
    if (!copy_->begun) {
      copy_->conversion.copy(from, to);
      all += ConnectionTable::high_water(from);
    }
    if (!pools_[static_cast<size_t>(Part::kMarks)]) continue;  // nobody works on it
    uint8_t* marks = memory(Part::kMarks, worker).data();
    for (int i = 0; i < kMostUpdates; ++i) {
      const uint32_t some = copy_->conversion.copy_marked(from, to, marks);
      all += some;
      if (some < kFewRecords) break;
    }
  }
  copy_->begun = true;
  return all;
}

void State::finish_copy() {
  const bool forwards = copy_->way == Conversion::Way::kToCurrent;
  const auto side = [&](bool ours, size_t part, unsigned worker) {
    return ours ? pool(kRecords[part]).content() + bytes_of(kRecords[part], shape_) * worker
                : copy_->other(part, worker, shape_);
  };
  for (unsigned worker = 0; worker < shape_.workers; ++worker) {
    if (pools_[static_cast<size_t>(Part::kMarks)])
      copy_->conversion.finish(side(!forwards, 0, worker), side(forwards, 0, worker),
                               memory(Part::kMarks, worker).data());
    copy_->conversion.copy_flow_records(side(!forwards, 1, worker), side(forwards, 1, worker));
  }
}

bool State::exchange_names() {
  for (const Part part : kRecords) {
    if (pool(part).is_at(path(part))) continue;
    if (renameat2(AT_FDCWD, next_path(part).c_str(), AT_FDCWD, path(part).c_str(), RENAME_EXCHANGE) != 0) return false;
  }
  return true;
}

void State::drop_copy() {
  copy_ = nullptr;
  renames_ = false;
  for (const Part part : kRecords)
    if (!pools_[static_cast<size_t>(part)] || pool(part).is_at(path(part))) unlink(next_path(part).c_str());
}

void State::clean_up() {
  for (const Part part : kRecords) unlink(next_path(part).c_str());
}

bool State::acquire(std::string& error) {
  for (size_t i = 0; i < kParts; ++i) {
    // A copy is this engine's own already; it is as much in order as its source.
    const bool own = copy_ && copy_->way == Conversion::Way::kToCurrent && holds_records(static_cast<Part>(i));
    if (own || pools_[i]->acquire(error)) continue;
    while (i-- > 0) pools_[i]->release(pools_[i]->was_clean());
    return false;
  }
  owned_ = true;
  note_left();
  if (copy_ && copy_->way == Conversion::Way::kToCurrent) {
    for (auto& other : copy_->others)
      if (!other->acquire(error)) return false;
    left_ = copy_->others[0]->was_clean() ? Left::kInOrder : Left::kInDisorder;
    finish_copy();
  }
  // Those of an engine that takes back what it had let go may have been renamed too.
  if (exchange_names()) return true;
  error = std::string("Cannot put converted pools in their places: ") + strerror(errno);
  return false;
}

void State::release(bool in_order) {
  if (!owned_) return;
  owned_ = false;
  if (copy_ && copy_->way == Conversion::Way::kFromCurrent) {
    finish_copy();
    for (auto& other : copy_->others) other->release(in_order);
  }
  for (auto& pool : pools_) pool->release(in_order);
}

std::span<uint8_t> State::memory(Part part, unsigned worker) const {
  const uint64_t bytes = bytes_of(part, shape_);
  return {pool(part).content() + bytes * worker, bytes};
}

uint64_t State::generation() const {
  return pools_[0]->generation();
}

}  // namespace headgate
