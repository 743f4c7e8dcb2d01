// Mutates the seeds of a fuzz target and runs it on each result, without libFuzzer: the same seed gives the same
// inputs.
//
//   fuzz_NAME COUNT [SEED]           that many inputs
//   fuzz_NAME --seconds N [SEED]     for that long
//   fuzz_NAME --file PATH            one input
//
// When something breaks, the input is left in ./fuzz-failure and the command that runs it again is printed.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>

#include "fuzz/fuzz.h"

namespace {

using Bytes = std::vector<uint8_t>;

const Bytes* current = nullptr;
const char* program = "";
uint64_t number = 0, seed = 0;

// Async-signal-safe enough for a process that is about to die.
void keep_input() {
  if (!current) return;
  int fd = open("fuzz-failure", O_CREAT | O_TRUNC | O_WRONLY, 0644);
  if (fd >= 0 && write(fd, current->data(), current->size()) == static_cast<ssize_t>(current->size()))
    std::fprintf(stderr,
                 "input %lu of seed %lu is in ./fuzz-failure; rerun: %s --file fuzz-failure, or with all before it: %s "
                 "%lu %lu\n",
                 number, seed, program, program, number, seed);
  current = nullptr;
}

void on_abort(int) {
  keep_input();
}

uint32_t pick(std::mt19937_64& random, size_t below) {
  return static_cast<uint32_t>(random() % std::max<size_t>(below, 1));
}

void mutate_once(Bytes& bytes, const std::vector<Bytes>& seeds, std::mt19937_64& random) {
  static constexpr uint8_t kNotable[] = {0, 1, 4, 5, 6, 8, 17, 20, 40, 44, 58, 60, 127, 128, 254, 255};
  const uint32_t at = pick(random, bytes.size());
  switch (random() % 8) {
    case 0:
      if (!bytes.empty()) bytes[at] ^= static_cast<uint8_t>(1 << random() % 8);
      break;
    case 1:
      if (!bytes.empty()) bytes[at] = static_cast<uint8_t>(random());
      break;
    case 2:
      if (!bytes.empty()) bytes[at] = kNotable[random() % sizeof kNotable];
      break;
    case 3:
      if (!bytes.empty()) bytes[at] = static_cast<uint8_t>(bytes[at] + (random() % 2 ? 1 : -1));
      break;
    case 4:
      bytes.resize(at);
      break;
    case 5:
      bytes.insert(bytes.begin() + at, 1 + pick(random, 8), static_cast<uint8_t>(random()));
      break;
    case 6:
      if (!bytes.empty())
        bytes.erase(bytes.begin() + at, bytes.begin() + std::min<size_t>(bytes.size(), at + 1 + pick(random, 8)));
      break;
    default: {  // the head of this, the tail of another
      const Bytes& other = seeds[pick(random, seeds.size())];
      const uint32_t from = pick(random, other.size());
      bytes.resize(at);
      bytes.insert(bytes.end(), other.begin() + from, other.end());
    }
  }
}

void run(const Bytes& input) {
  // A copy of its own size, so that the address sanitizer sees every byte read beyond it.
  const std::vector<uint8_t> exact(input);
  current = &exact;
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
  current = nullptr;
}

}  // namespace

extern "C" void __sanitizer_set_death_callback(void (*)()) __attribute__((weak));

int main(int argc, char** argv) {
  program = argv[0];
  const bool timed = argc > 2 && !std::strcmp(argv[1], "--seconds");
  if (argc < 2 || (argv[1][0] == '-' && argc < 3)) {
    std::fprintf(stderr, "usage: %s COUNT [SEED] | --seconds N [SEED] | --file PATH\n", program);
    return 2;
  }
  std::signal(SIGABRT, on_abort);
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(keep_input);
  if (!std::strcmp(argv[1], "--file")) {
    std::ifstream file(argv[2], std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "%s: cannot read %s\n", program, argv[2]);
      return 1;
    }
    run(Bytes(std::istreambuf_iterator<char>(file), {}));
    std::printf("%s\n", headgate::fuzz::summary().c_str());
    return 0;
  }
  const int seed_at = timed ? 3 : 2;
  seed = argc > seed_at ? std::strtoull(argv[seed_at], nullptr, 10) : std::random_device()();
  const uint64_t count = timed ? UINT64_MAX : std::strtoull(argv[1], nullptr, 10);
  const auto begin = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  const double most = timed ? std::atof(argv[2]) : 0;
  std::printf("seed %lu\n", seed);
  std::fflush(stdout);
  const auto seeds = headgate::fuzz::seeds();
  std::mt19937_64 random(seed);
  Bytes input;
  for (number = 0; number < count; ++number) {
    if (timed && number % 256 == 0 && elapsed() > most) break;
    if (number < seeds.size()) {
      input = seeds[number];
    } else {
      input = seeds[pick(random, seeds.size())];
      for (uint32_t n = 1 + pick(random, 4); n; --n) mutate_once(input, seeds, random);
    }
    run(input);
  }
  std::printf("%lu inputs in %.1f s without a fault; %s\n", number, elapsed(), headgate::fuzz::summary().c_str());
}
