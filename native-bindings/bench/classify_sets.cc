// Mode `sets`: one rule set, looked up with corner and with uniform headers.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <stdexcept>

#include "bench/classify.h"
#include "bench/linear.h"
#include "bench/rule_table.h"
#include "tables/lookup_memo.h"

namespace headgate::bench {

namespace {

constexpr size_t kJudged = 2000;    // answers that the linear scan checks
constexpr size_t kCall = 32;        // headers that rte_acl gets at once
constexpr size_t kRepeated = 1024;  // headers that are asked again and again, for the memo

struct Sides {
  std::shared_ptr<const Lookup> headgate;
  RteAcl* rte_acl;
  Linear linear;
};

std::string name_of(const std::string& path) {
  return std::filesystem::path(path).filename().string();
}

// Throws if what two sides answered about the first `count` headers differs.
template <class Theirs>
void compare(const std::string& where, const std::vector<Header>& headers, size_t count,
             const std::vector<uint32_t>& ours, const char* other, Theirs theirs) {
  for (size_t i = 0; i < std::min(count, headers.size()); ++i) {
    uint32_t their = theirs(i);
    if (ours[i] == their) continue;
    std::string text = where + ": header";
    for (uint32_t field : headers[i].field) text += ' ' + std::to_string(field);
    throw std::runtime_error(text + ": Headgate says rule " + std::to_string(ours[i]) + ", " + other + " says " +
                             std::to_string(their) + " (0: none)");
  }
}

// All sides in turn, so that what the machine does meanwhile falls on all alike.
Json measure(const std::string& where, const std::vector<Header>& headers, const Sides& sides, const Options& options) {
  auto flows = flows_of(headers);
  const auto& library = options.rte_acl;
  RteHeaders* rte_headers = sides.rte_acl ? library->headers(headers.data(), headers.size()) : nullptr;
  auto algorithms = sides.rte_acl ? library->algorithms(sides.rte_acl) : std::vector<RteAclLibrary::Algorithm>{};
  std::vector<Lookup::Question> questions;
  for (const FlowHeaders& flow : flows) questions.push_back({0, Direction::kIn, &flow});
  std::vector<uint32_t> ours(headers.size()), singly(headers.size()), theirs(headers.size()),
      remembered(headers.size());
  std::vector<double> headgate, single, warm_memo, linear;
  LookupMemo memo;
  const size_t repeated = std::min(kRepeated, headers.size());
  std::vector<std::vector<double>> rte_acl(algorithms.size());
  size_t at = 0;
  uint32_t sum = 0;
  for (size_t round = 0; round < options.rounds; ++round) {
    headgate.push_back(rate_of(options.turn, [&] {
      ask(*sides.headgate, questions, ours.data());
      return flows.size();
    }));
    single.push_back(rate_of(options.turn, [&] {
      for (size_t i = 0; i < flows.size(); ++i)
        singly[i] = answer(sides.headgate->first_match(0, Direction::kIn, flows[i], 0));
      return flows.size();
    }));
    compare(where, headers, headers.size(), ours, "one by one", [&](size_t i) { return singly[i]; });
    warm_memo.push_back(rate_of(options.turn, [&] {
      for (size_t i = 0; i < repeated; ++i)
        remembered[i] = answer(memo.first_match(*sides.headgate, 0, Direction::kIn, flows[i], 0));
      return repeated;
    }));
    compare(where, headers, repeated, ours, "the memo", [&](size_t i) { return remembered[i]; });
    for (size_t a = 0; a < algorithms.size(); ++a) {
      library->use_algorithm(sides.rte_acl, algorithms[a].number);
      rte_acl[a].push_back(rate_of(options.turn, [&] {
        for (size_t i = 0; i < headers.size(); i += kCall)
          library->classify(sides.rte_acl, rte_headers, i, &theirs[i], std::min(kCall, headers.size() - i));
        return headers.size();
      }));
      compare(where, headers, headers.size(), ours, "rte_acl", [&](size_t i) { return theirs[i]; });
    }
    linear.push_back(rate_of(options.turn, [&] {
      for (size_t i = 0; i < kCall; ++i, at = (at + 1) % headers.size()) sum += sides.linear.classify(headers[at]);
      return kCall;
    }));
  }
  compare(where, headers, kJudged, ours, "the linear scan",
          [&](size_t i) { return sides.linear.classify(headers[i]); });
  volatile uint32_t used = sum;  // so that the scan is not optimized away
  (void)used;
  Json rates;
  rates.add("headgate", headgate).add("headgate-single", single).add("headgate-memo", warm_memo).add("linear", linear);
  for (size_t a = 0; a < algorithms.size(); ++a) rates.add(std::string("rte_acl-") + algorithms[a].name, rte_acl[a]);
  return rates;
}

}  // namespace

void classify_sets(const std::string& path, const Options& options) {
  auto tuples = read_tuples(path);
  size_t widened = widen_ports(tuples);
  Json build;
  build.add("mode", "build").add("set", name_of(path));
  build.add("rules", static_cast<double>(tuples.size())).add("widened", static_cast<double>(widened));

  RuleTable table;
  auto begin = Clock::now();
  for (uint32_t i = 0; i < tuples.size(); ++i) table.put(i, tuples[i], {0});
  auto lookup = table.commit();
  table.settled();
  build.add("headgateSeconds", seconds_since(begin)).add("headgateBytes", static_cast<double>(table.memory()));

  std::vector<uint32_t> all(tuples.size());
  std::iota(all.begin(), all.end(), 0);
  Sides sides{std::move(lookup), nullptr, Linear(tuples, all)};
  if (options.rte_acl) {
    begin = Clock::now();
    sides.rte_acl = options.rte_acl->build(tuples.data(), all.data(), all.size());
    build.add("rteAclSeconds", seconds_since(begin));
    if (sides.rte_acl)
      build.add("rteAclBytes", static_cast<double>(options.rte_acl->memory(sides.rte_acl)));
    else
      build.add("rteAclFailed", strerror(options.rte_acl->error()));
  }
  build.print();

  for (bool corner : {true, false}) {
    auto headers = draw_headers(tuples, options.headers, corner, options.seed);
    std::string kind = corner ? "corner" : "uniform";
    Json rates = measure(name_of(path) + ", " + kind, headers, sides, options);
    Json result;
    result.add("mode", "lookups").add("set", name_of(path)).add("headers", kind).add("rates", rates);
    result.print();
  }
}

}  // namespace headgate::bench
