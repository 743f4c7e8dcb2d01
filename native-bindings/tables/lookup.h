// The lookup of rules, as packet threads do it: which entry of a workload's index table is the first that matches a
// flow.
//
// The flow's addresses and ports are turned into classes (tables/address_classes.h, service_classes.h); a class names
// the slots whose rules hold it, as sparse bitmaps. Words of those bitmaps are combined with the workload's index
// table, a bitmap itself, and the best slot that is left decides. Of the four ways in which a rule can name addresses
// each has words of its own, so only words that can match are looked at:
//
//   neither side        the open words, of which there are few
//   one side            the words in that side's class
//   both sides          the words in both classes: the shorter list is walked and looked up in the other
//
// After Lakshman and Stiliadis, "High-speed policy-based packet forwarding" (SIGCOMM 1998), whose bit vectors are dense
// and per rule list; here they are sparse, tiered (tables/class_records.h), and shared by all workloads.
#pragma once

#include <memory>
#include <span>

#include "tables/address_classes.h"
#include "tables/class_records.h"
#include "tables/service_classes.h"

namespace headgate {

// A value; valid until every reader has taken over the next one and the classifier was told so.
class Lookup {
 public:
  // The first entry, in order and not before `from`, that is in the workload's index table, runs in this direction and
  // matches; null if there is none.
  const IndexEntry* first_match(uint32_t workload, Direction direction, const FlowHeaders& flow, uint64_t from) const;

  struct Question {
    uint32_t workload;
    Direction direction;
    const FlowHeaders* flow;
  };
  static constexpr size_t kBatch = 32;
  // answers[i] = first_match(questions[i], 0), of at most kBatch. Faster than one by one: while one question waits for
  // memory, the others go on. Questions about the same flow should stand side by side.
  void first_matches(std::span<const Question> questions, const IndexEntry** answers) const;

  uint64_t number() const { return number_; }  // of the commit that made it, from 1
  bool asks_source_ports() const { return source_ports_; }

 private:
  friend class Classifier;
  struct Classes {
    ClassId source, destination, service, source_port;
  };
  struct Search;
  struct Records;

  Classes classes_of(const FlowHeaders& flow) const;
  const IndexEntry* first_match(uint32_t workload, Direction direction, const Classes& classes, uint64_t from) const;
  void classes_of(std::span<const FlowHeaders* const> flows, Classes* classes) const;
  ClassId class_of(const Address& address) const;
  void prefetch_records(std::span<const Classes> classes) const;
  const SideRecord& record(uint32_t offset) const {
    return *reinterpret_cast<const SideRecord*>(arena_ + size_t{offset} * Arena::kUnit);
  }
  const WordSet& words(uint32_t offset) const {
    return *reinterpret_cast<const WordSet*>(arena_ + size_t{offset} * Arena::kUnit);
  }

  uint64_t number_ = 0;
  const uint8_t* arena_ = nullptr;
  uint32_t ipv4_root_ = 0;
  uint32_t service_root_ = 0;
  bool source_ports_ = false;  // some rule names source ports
  uint32_t live_words_ = 0;
  const uint32_t* class_records_[2] = {};
  const uint32_t* part_records_[2] = {};
  const uint32_t* service_records_ = nullptr;
  const uint64_t* any_service_ = nullptr;  // by word
  const uint8_t* flags_ = nullptr;         // by word
  const uint32_t* lowest_ = nullptr;       // by word
  const uint64_t* orders_ = nullptr;       // by slot
  const IndexEntry* const* entries_ = nullptr;
  std::shared_ptr<const Ipv6Runs> ipv6_;
  std::shared_ptr<const std::vector<uint64_t>> live_[2];  // by direction: slots of entries that are in force
  std::shared_ptr<const std::vector<uint32_t>> open_words_;
  std::shared_ptr<const std::vector<uint32_t>> indexes_;  // by workload: its index table, a WordSet
};

}  // namespace headgate
