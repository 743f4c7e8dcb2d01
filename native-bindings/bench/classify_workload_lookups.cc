// Lookups at random workloads, beside an rte_acl built for each: in bursts of 32 headers for one workload, which is
// rte_acl's best case, and each at another workload. Headgate is asked in batches either way.
#include <cstring>
#include <numeric>
#include <stdexcept>

#include "bench/linear.h"
#include "bench/workload_bed.h"

namespace headgate::bench {

namespace {

constexpr size_t kJudged = 2000;
constexpr size_t kCall = 32;

struct Trace {
  std::vector<uint32_t> workloads;
  std::vector<Header> headers;
};

Trace draw_trace(const WorkloadBed& bed, size_t burst, bool corner, const Options& options) {
  std::mt19937_64 random(options.seed);
  Trace trace;
  while (trace.headers.size() < options.headers) {
    auto workload = static_cast<uint32_t>(random() % bed.workloads());
    const auto& rules = bed.rules_of[workload];
    for (size_t i = 0; i < burst; ++i) {
      trace.workloads.push_back(workload);
      trace.headers.push_back(draw_header(bed.tuples[rules[random() % rules.size()]], corner, random));
    }
  }
  return trace;
}

void fail(const std::string& where, uint32_t workload, uint32_t ours, const char* other, uint32_t theirs) {
  throw std::runtime_error(where + ", workload " + std::to_string(workload) + ": Headgate says " +
                           std::to_string(ours) + ", " + other + " says " + std::to_string(theirs));
}

std::vector<RteAcl*> build_peers(const WorkloadBed& bed, const RteAclLibrary& library, Json& result) {
  std::vector<RteAcl*> peers;
  double bytes = 0;
  auto begin = Clock::now();
  for (const auto& rules : bed.rules_of) {
    RteAcl* acl = library.build(bed.tuples.data(), rules.data(), rules.size());
    if (!acl) {
      result.add("rteAclFailed", strerror(library.error())).add("rteAclBuilt", static_cast<double>(peers.size()));
      for (RteAcl* built : peers) library.drop(built);
      return {};
    }
    bytes += static_cast<double>(library.memory(acl));
    peers.push_back(acl);
  }
  result.add("rteAclSeconds", seconds_since(begin)).add("rteAclBytes", bytes);
  return peers;
}

Json measure(const std::string& where, const WorkloadBed& bed, const Lookup& lookup, const std::vector<RteAcl*>& peers,
             const Trace& trace, size_t burst, const Options& options) {
  const auto& library = options.rte_acl;
  auto flows = flows_of(trace.headers);
  RteHeaders* rte_headers = peers.empty() ? nullptr : library->headers(trace.headers.data(), trace.headers.size());
  auto algorithms = peers.empty() ? std::vector<RteAclLibrary::Algorithm>{} : library->algorithms(peers[0]);
  std::vector<Lookup::Question> questions;
  for (size_t i = 0; i < flows.size(); ++i) questions.push_back({trace.workloads[i], Direction::kIn, &flows[i]});
  std::vector<uint32_t> ours(flows.size()), theirs(flows.size());
  std::vector<Linear> linear;
  for (const auto& rules : bed.rules_of) linear.emplace_back(bed.tuples, rules);
  std::vector<double> headgate_rates, linear_rates;
  std::vector<std::vector<double>> rte_acl_rates(algorithms.size());
  uint32_t sum = 0;
  for (size_t round = 0; round < options.rounds; ++round) {
    headgate_rates.push_back(rate_of(options.turn, [&] {
      ask(lookup, questions, ours.data());
      return flows.size();
    }));
    for (size_t a = 0; a < algorithms.size(); ++a) {
      for (RteAcl* peer : peers) library->use_algorithm(peer, algorithms[a].number);
      rte_acl_rates[a].push_back(rate_of(options.turn, [&] {
        for (size_t i = 0; i < flows.size(); i += burst)
          library->classify(peers[trace.workloads[i]], rte_headers, i, &theirs[i], burst);
        return flows.size();
      }));
      for (size_t i = 0; i < flows.size(); ++i)
        if (ours[i] != theirs[i]) fail(where, trace.workloads[i], ours[i], "rte_acl", theirs[i]);
    }
    linear_rates.push_back(rate_of(options.turn, [&] {
      for (size_t i = 0; i < flows.size(); ++i) sum += linear[trace.workloads[i]].classify(trace.headers[i]);
      return flows.size();
    }));
  }
  for (size_t i = 0; i < std::min(kJudged, flows.size()); ++i)
    if (uint32_t walked = bed.walk(trace.workloads[i], trace.headers[i]); ours[i] != walked)
      fail(where, trace.workloads[i], ours[i], "the walk", walked);
  volatile uint32_t used = sum;  // so that the scan is not optimized away
  (void)used;
  Json rates;
  rates.add("headgate", headgate_rates).add("linear", linear_rates);
  for (size_t a = 0; a < algorithms.size(); ++a)
    rates.add(std::string("rte_acl-") + algorithms[a].name, rte_acl_rates[a]);
  return rates;
}

}  // namespace

void measure_workload_lookups(const WorkloadBed& bed, const Lookup& lookup, const Options& options) {
  std::vector<RteAcl*> peers;
  if (options.rte_acl) {
    Json built;
    built.add("mode", "peers").add("set", bed.set);
    peers = build_peers(bed, *options.rte_acl, built);
    built.print();
  }
  for (size_t burst : {kCall, size_t{1}})
    for (bool corner : {true, false}) {
      std::string kind = corner ? "corner" : "uniform";
      std::string where = bed.set + ", " + kind + " headers, bursts of " + std::to_string(burst);
      Json rates = measure(where, bed, lookup, peers, draw_trace(bed, burst, corner, options), burst, options);
      Json result;
      result.add("mode", "lookups").add("set", bed.set).add("headers", kind).add("burst", static_cast<double>(burst));
      result.add("rates", rates).print();
    }
}

}  // namespace headgate::bench
