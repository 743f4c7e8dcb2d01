// The empty pipeline: two TAP devices joined by the engine's own worker loop and ports, with a single stage that sends
// every frame out of the other device. What the stages cost is the difference to this.
//
//   bench_wire --tap NETNS:DEVICE:ADDRESS/LENGTH --tap NETNS:DEVICE:ADDRESS/LENGTH
//
// Prints "ready" and runs until SIGTERM or SIGINT.
#include <csignal>
#include <cstdio>
#include <cstring>

#include "packet/parse.h"
#include "pipeline/worker.h"
#include "ports/tap.h"

using namespace headgate;

namespace {

constexpr uint32_t kEveryone = 0;  // the one workload that all frames are counted for

// Coalescing on the way out reads the headers, so the frame is parsed as far as that.
bool cross(Frame& frame, Context& ctx) {
  if (parse(frame) != Reason::kNone) return false;
  uint16_t other = frame.port ^ 1;
  return ctx.outputs.add(other, frame, kEveryone);
}

void run(std::span<Frame*> frames, Context& ctx) {
  for (Frame* frame : frames) cross(*frame, ctx);
}

TapSpec spec_of(const std::string& text) {
  TapSpec spec;
  size_t first = text.find(':'), second = text.find(':', first + 1);
  if (first == text.npos || second == text.npos) return spec;
  spec.netns = text.substr(0, first);
  spec.device = text.substr(first + 1, second - first - 1);
  spec.addresses = {text.substr(second + 1)};
  return spec;
}

}  // namespace

int main(int argc, char** argv) {
  auto topology = std::make_shared<Topology>();
  auto everyone = std::make_shared<Workload>();
  everyone->serial = 1;
  topology->workloads.push_back(everyone);
  for (int i = 1; i + 1 < argc; i += 2) {
    TapSpec spec = spec_of(argv[i + 1]);
    std::string error = "an argument is not --tap NETNS:DEVICE:ADDRESS/LENGTH";
    auto port = strcmp(argv[i], "--tap") == 0 && !spec.device.empty() ? open_tap(spec, error) : nullptr;
    if (!port) {
      fprintf(stderr, "bench_wire: %s\n", error.c_str());
      return 1;
    }
    auto attached = std::make_shared<AttachedPort>();
    attached->port = std::move(port);
    PortView view;
    view.attached = attached;
    view.workload = kEveryone;
    topology->ports.push_back(view);
  }
  if (topology->ports.size() != 2) {
    fprintf(stderr, "usage: bench_wire --tap NETNS:DEVICE:ADDRESS/LENGTH --tap NETNS:DEVICE:ADDRESS/LENGTH\n");
    return 2;
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);

  constexpr uint32_t kConnections = 8;
  std::vector<uint8_t> memory(ConnectionTable::bytes_for(kConnections));
  WorkerOptions options;
  options.connection_memory = memory.data();
  options.connections = kConnections;
  options.pipeline = {run, run};
  Worker worker(options);
  auto generation = std::make_shared<Generation>(topology, std::make_shared<std::vector<uint32_t>>(1));
  worker.start();
  worker.ask([&](Worker& w) { w.adopt(generation); });
  printf("ready\n");
  fflush(stdout);
  int signal;
  sigwait(&signals, &signal);
  worker.stop();
  return 0;
}
