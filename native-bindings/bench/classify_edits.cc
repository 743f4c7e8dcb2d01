// One rule after the other changes for every workload that has it, while a thread looks up. What is measured is the
// time from the call to the moment at which that thread uses the change.
#include <sched.h>

#include <algorithm>
#include <stdexcept>

#include "bench/lookup_reader.h"
#include "bench/workload_bed.h"

namespace headgate::bench {

namespace {

constexpr size_t kQueries = 1 << 16;

struct EditTimes {
  std::vector<double> used;         // from the call until the reader uses it
  std::vector<double> undisturbed;  // of them those in which the kernel took no processor away from either thread
  std::vector<double> call;         // processor time of put() and commit()
  std::vector<double> settled;      // processor time of giving back what only the earlier lookup used
};

Json summary(std::vector<double> seconds) {
  Json json;
  if (seconds.empty()) return json;
  std::sort(seconds.begin(), seconds.end());
  double sum = 0;
  for (double one : seconds) sum += one;
  auto at = [&](double part) {
    return seconds[static_cast<size_t>(part * static_cast<double>(seconds.size() - 1))] * 1e6;
  };
  return json.add("count", static_cast<double>(seconds.size()))
      .add("mean", sum * 1e6 / static_cast<double>(seconds.size()))
      .add("p50", at(0.5))
      .add("p99", at(0.99))
      .add("max", at(1));
}

Json summary(const std::vector<LookupReader::Batch>& batches) {
  std::vector<double> all, undisturbed;
  for (auto [seconds, disturbed] : batches) {
    all.push_back(seconds);
    if (!disturbed) undisturbed.push_back(seconds);
  }
  return Json().add("all", summary(std::move(all))).add("undisturbed", summary(std::move(undisturbed)));
}

class Editor {
 public:
  Editor(WorkloadBed& bed, RuleTable& table, std::shared_ptr<const Lookup> lookup, uint64_t seed)
      : bed_(bed), table_(table), lookup_(std::move(lookup)), original_(bed.tuples), random_(seed) {
    for (size_t i = 0; i < kQueries; ++i) {
      uint32_t workload = any(bed.workloads());
      const auto& rules = bed.rules_of[workload];
      queries_.push_back({workload, flow_of(draw_header(bed.tuples[rules[any(rules.size())]], false, random_))});
    }
  }

  // Changes `count` rules, one at a time: their services, or their addresses too.
  void series(const char* target, size_t count, bool everywhere, bool addresses) {
    EditTimes times;
    LookupReader reader(lookup_.get(), queries_);
    for (size_t i = 0; i < count; ++i) {
      uint32_t rule = everywhere ? bed_.everywhere : any(bed_.tuples.size());
      Tuple before = bed_.tuples[rule];
      bed_.tuples[rule] = changed(before, addresses);
      edit(rule, &reader, &times);
      check(rule, before);
    }
    Json result;
    result.add("mode", "edits").add("set", bed_.set).add("target", target);
    result.add("change", addresses ? "addresses" : "service");
    result.add("used", summary(times.used)).add("usedUndisturbed", summary(times.undisturbed));
    result.add("call", summary(times.call)).add("settled", summary(times.settled));
    result.add("batches", summary(reader.stop()));
    result.print();
  }

  // The same without a reader and unmeasured.
  void series_unread(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      uint32_t rule = any(bed_.tuples.size());
      bed_.tuples[rule] = changed(bed_.tuples[rule], i % 2 == 1);
      edit(rule);
    }
  }

  // The reader alone, for as long as the edits of a series take at least.
  void idle() {
    LookupReader reader(lookup_.get(), queries_);
    std::this_thread::sleep_for(std::chrono::seconds(2));
    Json().add("mode", "idle").add("set", bed_.set).add("batches", summary(reader.stop())).print();
  }

  void put_back() {
    for (uint32_t rule = 0; rule < original_.size(); ++rule)
      if (std::memcmp(&original_[rule], &bed_.tuples[rule], sizeof(Tuple)) != 0) {
        bed_.tuples[rule] = original_[rule];
        edit(rule);
      }
  }

 private:
  uint32_t any(size_t count) { return static_cast<uint32_t>(random_() % count); }

  Tuple changed(Tuple tuple, bool addresses) {
    uint32_t port = any(65535) + 1;
    tuple.low[4] = tuple.high[4] = any(2) ? kTcp : kUdp;
    tuple.low[2] = 0;
    tuple.high[2] = 65535;
    tuple.low[3] = port;
    tuple.high[3] = any(2) ? port : std::min<uint32_t>(65535, port + any(1000));
    if (addresses) {
      int side = static_cast<int>(any(2));
      uint32_t host = (1u << any(9)) - 1;  // a /24 to a /32
      tuple.low[side] = static_cast<uint32_t>(random_()) & ~host;
      tuple.high[side] = tuple.low[side] | host;
    }
    return tuple;
  }

  // With `reader`: what it looks up with changes, and how long that takes is noted.
  void edit(uint32_t rule, LookupReader* reader = nullptr, EditTimes* times = nullptr) {
    long switches = reader ? context_switches() + reader->switches() : 0;
    auto begin = Clock::now();
    double processor = processor_seconds();
    table_.put(rule, bed_.tuples[rule], bed_.workloads_of[rule]);
    auto next = table_.commit();
    double called = processor_seconds();
    if (reader) reader->give(next.get());
    double used = seconds_since(begin);
    bool disturbed = reader && context_switches() + reader->switches() != switches;
    lookup_ = std::move(next);
    double before_settled = processor_seconds();
    table_.settled();
    if (!times) return;
    times->used.push_back(used);
    if (!disturbed) times->undisturbed.push_back(used);
    times->call.push_back(called - processor);
    times->settled.push_back(processor_seconds() - before_settled);
  }

  // Headers of the rule as it was and as it is, at workloads that have it and at others.
  void check(uint32_t rule, const Tuple& before) {
    const auto& having = bed_.workloads_of[rule];
    for (const Tuple& tuple : {before, bed_.tuples[rule]})
      for (int i = 0; i < 4; ++i) {
        uint32_t workload = i % 2 == 0 && !having.empty() ? having[any(having.size())] : any(bed_.workloads());
        Header header = draw_header(tuple, i < 2, random_);
        uint32_t ours = answer(lookup_->first_match(workload, Direction::kIn, flow_of(header), 0));
        uint32_t walked = bed_.walk(workload, header);
        if (ours != walked)
          throw std::runtime_error(bed_.set + ", workload " + std::to_string(workload) + " after a change of rule " +
                                   std::to_string(rule + 1) + ": Headgate says " + std::to_string(ours) +
                                   ", the walk says " + std::to_string(walked));
      }
  }

  WorkloadBed& bed_;
  RuleTable& table_;
  std::shared_ptr<const Lookup> lookup_;
  const std::vector<Tuple> original_;
  std::mt19937_64 random_;
  std::vector<Query> queries_;
};

}  // namespace

void measure_edits(WorkloadBed& bed, RuleTable& table, std::shared_ptr<const Lookup> lookup, const Options& options) {
  Editor editor(bed, table, std::move(lookup), options.seed);
  auto bytes = [&] { return static_cast<double>(table.memory()); };
  Json memory;
  memory.add("mode", "memoryAfterEdits").add("set", bed.set).add("bytesBefore", bytes());
  // Other work on the machine is to stay off both threads. Refused unless this is root: then more changes are
  // disturbed.
  sched_param lowest{1}, none{0};
  sched_setscheduler(0, SCHED_RR, &lowest);
  editor.idle();
  for (bool everywhere : {false, true})
    for (bool addresses : {false, true})
      editor.series(everywhere ? "everywhere" : "shared", options.edits / 2, everywhere, addresses);
  sched_setscheduler(0, SCHED_OTHER, &none);
  memory.add("bytesEdited", bytes());
  editor.put_back();
  memory.add("bytesPutBack", bytes());
  editor.series_unread(options.edits);  // what the first ones made room for is enough for the next
  editor.put_back();
  memory.add("bytesPutBackAgain", bytes()).print();
}

}  // namespace headgate::bench
