// Many workloads with some of the rules each, drawn at random; one rule is in all of them.
#pragma once

#include <string>
#include <vector>

#include "bench/classify.h"
#include "bench/rule_table.h"

namespace headgate::bench {

struct WorkloadBed {
  WorkloadBed(const std::string& path, const Options& options);

  uint32_t workloads() const { return static_cast<uint32_t>(rules_of.size()); }
  // What the rules in force answer, by a walk through the workload's: a rule's number plus one, or 0.
  uint32_t walk(uint32_t workload, const Header& header) const;
  // The rules into the index tables of the first `count` workloads.
  std::shared_ptr<const Lookup> fill(RuleTable& table, uint32_t count) const;

  std::string set;  // the file's name
  std::vector<Tuple> tuples;
  std::vector<std::vector<uint32_t>> rules_of;      // by workload, ascending
  std::vector<std::vector<uint32_t>> workloads_of;  // by rule
  uint32_t everywhere;                              // the rule that all have
};

void measure_edits(WorkloadBed& bed, RuleTable& table, std::shared_ptr<const Lookup> lookup, const Options& options);
void measure_workload_lookups(const WorkloadBed& bed, const Lookup& lookup, const Options& options);

}  // namespace headgate::bench
