// Mode `workloads`: many workloads share the rules; each has an index table with some of them. Memory, changes of one
// rule while lookups run, and lookups at random workloads beside rte_acl built for each.
#include <malloc.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <stdexcept>

#include "bench/workload_bed.h"

namespace headgate::bench {

namespace {

double resident_bytes() {
  malloc_trim(0);
  size_t size, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return static_cast<double>(resident) * 4096;
}

}  // namespace

WorkloadBed::WorkloadBed(const std::string& path, const Options& options)
    : set(std::filesystem::path(path).filename().string()), tuples(read_tuples(path)) {
  widen_ports(tuples);
  if (tuples.size() < options.workload_rules)
    throw std::runtime_error(path + ": fewer rules than a workload is to have");
  std::mt19937_64 random(options.seed);
  everywhere = static_cast<uint32_t>(tuples.size() / 2);
  std::vector<uint32_t> others(tuples.size());
  std::iota(others.begin(), others.end(), 0);
  others.erase(others.begin() + everywhere);
  rules_of.resize(options.workloads);
  workloads_of.resize(tuples.size());
  for (uint32_t workload = 0; workload < rules_of.size(); ++workload) {
    auto& rules = rules_of[workload];
    std::sample(others.begin(), others.end(), std::back_inserter(rules), options.workload_rules - 1, random);
    rules.insert(std::lower_bound(rules.begin(), rules.end(), everywhere), everywhere);
    for (uint32_t rule : rules) workloads_of[rule].push_back(workload);
  }
}

uint32_t WorkloadBed::walk(uint32_t workload, const Header& header) const {
  for (uint32_t rule : rules_of[workload])
    if (matches(tuples[rule], header)) return rule + 1;
  return 0;
}

std::shared_ptr<const Lookup> WorkloadBed::fill(RuleTable& table, uint32_t count) const {
  for (uint32_t rule = 0; rule < tuples.size(); ++rule) {
    auto workloads = workloads_of[rule];
    workloads.erase(std::lower_bound(workloads.begin(), workloads.end(), count), workloads.end());
    if (!workloads.empty()) table.put(rule, tuples[rule], workloads);
  }
  auto lookup = table.commit();
  table.settled();
  return lookup;
}

void classify_workloads(const std::string& path, const Options& options) {
  WorkloadBed bed(path, options);
  Json result;
  result.add("mode", "memory").add("set", bed.set).add("rules", static_cast<double>(bed.tuples.size()));
  result.add("workloads", bed.workloads()).add("workloadRules", static_cast<double>(options.workload_rules));
  auto table = std::make_unique<RuleTable>();
  bed.fill(*table, bed.workloads() / 2);
  double half = static_cast<double>(table->memory());
  table.reset();

  double resident = resident_bytes();
  table = std::make_unique<RuleTable>();
  auto begin = Clock::now();
  auto lookup = bed.fill(*table, bed.workloads());
  double seconds = seconds_since(begin);
  double whole = static_cast<double>(table->memory());
  result.add("bytes", whole).add("bytesPerFurtherWorkload", (whole - half) / (bed.workloads() - bed.workloads() / 2));
  result.add("residentBytes", resident_bytes() - resident).add("buildSeconds", seconds);
  result.print();

  measure_edits(bed, *table, lookup, options);
  lookup = table->commit();  // measure_edits has put the rules back
  measure_workload_lookups(bed, *lookup, options);
}

}  // namespace headgate::bench
