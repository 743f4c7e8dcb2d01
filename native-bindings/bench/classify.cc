// bench_classify: the lookup of rules beside rte_acl and a linear scan, in turn, in one process. Every answer of
// Headgate and of rte_acl is compared, a sample with the linear scan too; any difference ends it with status 1.
// scripts/bench classify runs it and sums up what it prints, one JSON object a line.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "bench/classify.h"

namespace headgate::bench {

Json& Json::add(const std::string& key, const std::vector<double>& numbers) {
  std::string list;
  for (double number : numbers) list += (list.empty() ? "" : ",") + format(number);
  return raw(key, '[' + list + ']');
}

void Json::print() const {
  puts(text().c_str());
  fflush(stdout);
}

std::string Json::escaped(const std::string& text) {
  std::string safe;
  for (char c : text) {
    if (c == '"' || c == '\\') safe += '\\';
    safe += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return safe;
}

std::string Json::format(double number) {
  char text[32];
  snprintf(text, sizeof text, number == std::floor(number) && std::fabs(number) < 1e15 ? "%.0f" : "%.6g", number);
  return text;
}

Json& Json::raw(const std::string& key, const std::string& value) {
  members_ += (members_.empty() ? "\"" : ",\"") + key + "\":" + value;
  return *this;
}

}  // namespace headgate::bench

using namespace headgate::bench;

namespace {

const char kUsage[] =
    "usage: bench_classify sets|workloads [OPTION VALUE]... FILE\n"
    "  sets        the rules of the file, as one table of one workload\n"
    "  workloads   many workloads, each with some of the rules; one rule changed for all that have it\n"
    "  --peer LIBRARY          rte_acl (native-bindings/bench/rte_acl_peer.cc), to measure beside it\n"
    "  --headers N             different headers to look up (100000)\n"
    "  --rounds N              turns of each side (7)\n"
    "  --turn SECONDS          length of a turn (0.1)\n"
    "  --edits N               changes of one rule: of a shared one, and as many of one that all have (2000)\n"
    "  --workloads N           (1000)\n"
    "  --workload-rules N      rules of each of them (500)\n"
    "  --seed N                of headers, workloads and edits (1)\n";

struct WrongUsage {};

size_t whole(const char* text) {
  char* end;
  size_t number = strtoull(text, &end, 10);
  if (*text == '\0' || *text == '-' || *end != '\0' || number == 0) throw WrongUsage();
  return number;
}

void set_option(Options& options, const char* name, const char* value) {
  if (strcmp(name, "--peer") == 0) return void(options.rte_acl.emplace(value));
  if (strcmp(name, "--turn") == 0) return void(options.turn = atof(value));
  const std::pair<const char*, size_t*> numbers[] = {
      {"--headers", &options.headers}, {"--rounds", &options.rounds},
      {"--edits", &options.edits},     {"--workloads", &options.workloads},
      {"--seed", &options.seed},       {"--workload-rules", &options.workload_rules}};
  for (auto [known, number] : numbers)
    if (strcmp(name, known) == 0) return void(*number = whole(value));
  throw WrongUsage();
}

void run(int argc, char** argv) {
  if (argc < 3 || argc % 2 == 0) throw WrongUsage();
  auto* mode = strcmp(argv[1], "sets") == 0        ? classify_sets
               : strcmp(argv[1], "workloads") == 0 ? classify_workloads
                                                   : throw WrongUsage();
  Options options;
  for (int i = 2; i + 2 < argc; i += 2) set_option(options, argv[i], argv[i + 1]);
  mode(argv[argc - 1], options);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(argc, argv);
    return 0;
  } catch (const WrongUsage&) {
    fputs(kUsage, stderr);
    return 2;
  } catch (const std::exception& error) {
    fprintf(stderr, "bench_classify: %s\n", error.what());
    return 1;
  }
}
