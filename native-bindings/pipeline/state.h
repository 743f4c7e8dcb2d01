// The state of an engine that outlives it, in pools: one for each part (state.def), with room for each worker.
//
// An engine owns all of them or none. One that is to follow maps them first and becomes the owner when the other lets
// go: then it finds everything where it was. After a crash there is nobody to let go; what the parts hold is then
// checked by each of them before it counts.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pools/pool.h"

namespace headgate {

enum class Part : uint8_t {
#define PART(id, name, layout, bytes, each) id,
#include "pipeline/state.def"
#undef PART
  kCount
};
constexpr size_t kParts = static_cast<size_t>(Part::kCount);
constexpr size_t kMostMacTables = 4096;

const char* name_of(Part part);
// Of this version: each part's name and layout number.
std::vector<std::pair<std::string, uint32_t>> layouts_of_parts();

struct StateShape {
  unsigned workers = 1;
  uint32_t connections = 0;  // of each worker
};

class State {
 public:
  // How the owner before left it.
  enum class Left : uint8_t { kNothing, kInOrder, kInDisorder };

  // Creates the pools or takes them over. Parts that mean nothing without each other begin anew together. Null with
  // `error` set when another engine owns them, or the system refuses.
  static std::unique_ptr<State> open(const std::string& directory, const StateShape& shape, std::string& error);
  // Maps those of another engine.
  static std::unique_ptr<State> attach(const std::string& directory, const StateShape& shape, std::string& error);
  ~State();

  // Becomes the owner of what was attached or released. False with `error` set while another is.
  bool acquire(std::string& error);
  // Lets others own it; everything stays mapped.
  void release(bool in_order);
  bool owned() const { return owned_; }

  // `worker`: 0 for parts that are not of each worker.
  std::span<uint8_t> memory(Part part, unsigned worker = 0) const;
  Left left() const { return left_; }
  uint64_t generation() const;

  // Whether it is, or is to be, a copy in another layout: of the engine's before, when that has another, or for one
  // that is to follow. In the latter case `layout` is that one's; false with `error` set when this version does not
  // know it.
  bool converts() const { return copy_ != nullptr; }
  bool convert_for(uint32_t layout, std::string& error);
  // Brings the copy up to date while its source is worked on. Returns how many records that took.
  uint32_t update_copy();
  void drop_copy();
  // Takes away what is left over of conversions.
  void clean_up();

  // What was thrown away at the start, and why: sentences for people. Empty when there was nothing to tell.
  const std::vector<std::string>& alarms() const { return alarms_; }

 private:
  struct Copy;
  State(const std::string& directory, const StateShape& shape);
  bool open_part(Part part, std::string& error);
  bool attach_part(Part part, std::string& error);
  bool attach_other_layout(Part part, uint32_t layout, std::string& error);
  bool convert_before_start(std::string& error);
  bool discard_together(std::string& error);
  void note_left();
  void finish_copy();
  bool exchange_names();
  std::string path(Part part) const;
  std::string next_path(Part part) const { return path(part) + ".next"; }
  Pool& pool(Part part) const { return *pools_[static_cast<size_t>(part)]; }

  std::string directory_;
  StateShape shape_;
  std::unique_ptr<Copy> copy_;
  bool renames_ = false;  // the pools with records stand beside those of the engine before until they are owned
  bool owned_ = false;
  Left left_ = Left::kNothing;
  std::array<std::unique_ptr<Pool>, kParts> pools_;
  std::vector<std::string> alarms_;
};

}  // namespace headgate
