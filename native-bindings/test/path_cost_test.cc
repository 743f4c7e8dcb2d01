// What a frame of an established flow costs: no allocation and no system call.
//
// Allocations are counted by standing between the program and the C library (under the address sanitizer, by its
// hooks). System calls are forbidden by a seccomp filter in a child process: the first one kills it. Both ports are the
// test's own and make none; time is given. That the counter counts and the filter kills is tested too.
#include <doctest/doctest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>

#include "test/bed.h"

namespace {
thread_local uint64_t allocations = 0;
}

#if defined(__SANITIZE_ADDRESS__)
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void*, size_t),
                                                         void (*)(const volatile void*));
namespace {
void count_allocation(const volatile void*, size_t) {
  ++allocations;
}
void count_nothing(const volatile void*) {}
const int installed = __sanitizer_install_malloc_and_free_hooks(count_allocation, count_nothing);
}  // namespace
#else
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
#define HOOK __attribute__((visibility("default")))
HOOK void* malloc(size_t size) {
  return ++allocations, __libc_malloc(size);
}
HOOK void* calloc(size_t count, size_t size) {
  return ++allocations, __libc_calloc(count, size);
}
HOOK void* realloc(void* old, size_t size) {
  return ++allocations, __libc_realloc(old, size);
}
HOOK void* memalign(size_t alignment, size_t size) {
  return ++allocations, __libc_memalign(alignment, size);
}
HOOK void* aligned_alloc(size_t alignment, size_t size) {
  return ++allocations, __libc_memalign(alignment, size);
}
HOOK int posix_memalign(void** out, size_t alignment, size_t size) {
  ++allocations;
  return (*out = __libc_memalign(alignment, size)) ? 0 : ENOMEM;
}
}
namespace {
constexpr int installed = 1;
}
#endif

namespace headgate::test {
namespace {

// Gives the same frames again and again and takes what it is sent: no lock, no descriptor, no memory of its own.
class LoopPort final : public Port {
 public:
  explicit LoopPort(const PortCapabilities& can) : can_(can) {}
  void add(const Packet& p, const Offload& offload) { frames_.push_back({p.bytes(), offload}); }
  PortCapabilities capabilities() const override { return can_; }
  int descriptor(unsigned) const override { return -1; }
  size_t receive(unsigned, std::span<Frame* const> frames) override {
    size_t count = 0;
    for (Frame* frame : frames) {
      if (frames_.empty()) break;
      const MemoryFrame& from = frames_[next_++ % frames_.size()];
      frame->data = frame->buffer + kHeadroom;
      frame->length = static_cast<uint32_t>(from.bytes.size());
      frame->offload = from.offload;
      memcpy(frame->data, from.bytes.data(), from.bytes.size());
      ++count;
    }
    return count;
  }
  void transmit(unsigned, std::span<Frame* const> frames, std::span<Reason> outcomes) override {
    for (size_t i = 0; i < frames.size(); ++i) outcomes[i] = Reason::kNone;
    sent += frames.size();
  }
  std::string failure() const override { return ""; }
  uint64_t sent = 0;

 private:
  PortCapabilities can_;
  std::vector<MemoryFrame> frames_;
  size_t next_ = 0;
};

// Established flows of every kind, both ways; from "a" also super-frames, which "b" can take or not, ARP for everybody,
// and a flow that is rejected.
struct Loop {
  Bed bed{4096u};
  LoopPort* a = nullptr;
  LoopPort* b = nullptr;
  uint64_t time = 1'000'000'000;

  explicit Loop(bool cutting) {
    Delta delta;
    delta.default_action = Action::kAllow;
    delta.set_segments.push_back({"lan", "1", 0, 0, "lan"});
    delta.set_workloads = {workload("a", kTestSource, {{"10.9.0.0/16", "fd00::/16"}}), workload("b", kTestDestination)};
    bed.publish(delta);
    RuleChange reject = rule("reject", Action::kReject);
    reject.log = true;
    reject.services = std::vector<ServiceMatch>{{kUdp, -1, -1, {{9, 9}}, {}}};
    bed.index("b", {{reject}}, {{}});
    auto make = [&](const char* name, const PortCapabilities& can) {
      auto port = std::make_unique<LoopPort>(can);
      LoopPort* raw = port.get();
      bed.attach(name, std::move(port));
      return raw;
    };
    a = make("a", {true, true, true, 1});
    b = make("b", {!cutting, !cutting, !cutting, 1});
    for (uint16_t i = 0; i < 100; ++i)
      for (bool v6 : {false, true})
        for (uint8_t protocol : {kTcp, kUdp, v6 ? kIcmp6 : kIcmp}) {
          Packet p;
          if (v6) p.source = "fd00::1", p.destination = "fd00::2";
          p.protocol = protocol;
          if (v6) p.icmp_type = 128;
          p.source_port = p.icmp_id = static_cast<uint16_t>(1000 + i);
          a->add(p, p.offload());
          b->add(p.reversed(), {});
          if (protocol == kIcmp || protocol == kIcmp6) continue;
          p.partial = true;
          p.payload.resize(4000);
          a->add(p, p.super_offload(1000));
        }
    Packet rejected;
    rejected.destination_port = 9;
    a->add(rejected, {});
  }
  void run(int rounds) {
    for (int i = 0; i < rounds; ++i) bed.worker().run(time += 1'000'000);
  }
  uint64_t out() const { return a->sent + b->sent; }
};

TEST_CASE("the counter of allocations counts") {
  REQUIRE(installed);
  const uint64_t before = allocations;
  std::vector<int>* volatile kept = new std::vector<int>(100);
  CHECK(allocations >= before + 2);
  delete kept;
  void* volatile direct = std::malloc(10);
  CHECK(allocations >= before + 3);
  std::free(direct);
}

TEST_CASE("frames of established flows cause no allocation") {
  for (bool cutting : {false, true}) {
    CAPTURE(cutting);
    Loop loop(cutting);
    loop.run(200);
    const uint64_t before = allocations, out = loop.out();
    loop.run(2000);
    CHECK(allocations == before);
    CHECK(loop.out() > out + 200'000);
    CHECK(loop.bed.drops() == loop.bed.drops(Reason::kPolicyReject));
  }
}

TEST_CASE("connections that end, and are told to flow logs, cause no allocation") {
  Bed bed(256u);
  Delta delta;
  delta.default_action = Action::kAllow;
  delta.set_segments.push_back({"lan", "1", 0, 0, "lan"});
  delta.set_workloads = {workload("a", kTestSource), workload("b", kTestDestination)};
  bed.publish(delta);
  auto a = std::make_unique<LoopPort>(PortCapabilities{true, true, true, 1});
  for (uint16_t i = 0; i < 1000; ++i) {
    Packet p;
    p.source_port = static_cast<uint16_t>(1000 + i);
    a->add(p, {});
  }
  bed.attach("a", std::move(a));
  bed.attach("b", std::make_unique<LoopPort>(PortCapabilities{true, true, true, 1}));
  auto log = std::make_unique<FlowLog>(bed.context().hits, 256);
  bed.worker().swap_flow_log(log);
  uint64_t time = 1'000'000'000;
  auto run = [&](int rounds) {
    for (int i = 0; i < rounds; ++i) bed.worker().run(time += 1'000'000);
  };
  run(10);
  const uint64_t before = allocations;
  run(100);
  CHECK(allocations == before);
  std::vector<FlowRecord> taken;
  bed.worker().flow_log()->take(taken, FlowLog::kRecords);
  CHECK(taken.size() == 110 * 64 - 256);
}

// Runs `act` in a child in which every system call but the last exit kills; true when it lived.
bool lives_without_system_calls(const std::function<bool()>& act) {
  const pid_t child = fork();
  if (child == 0) {
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    sock_fprog program = {std::size(filter), filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
      syscall(SYS_exit_group, 2);
    syscall(SYS_exit_group, act() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status)) REQUIRE_MESSAGE(WEXITSTATUS(status) != 2, "no seccomp filter can be set");
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_CASE("a system call under the filter kills") {
  CHECK(lives_without_system_calls([] { return true; }));
  CHECK_FALSE(lives_without_system_calls([] { return getppid() > 0; }));
}

TEST_CASE("frames of established flows cause no system call") {
  for (bool cutting : {false, true}) {
    CAPTURE(cutting);
    Loop loop(cutting);
    loop.run(200);
    CHECK(lives_without_system_calls([&] {
      const uint64_t out = loop.out();
      loop.run(1000);
      return loop.out() > out + 100'000;
    }));
  }
}

}  // namespace
}  // namespace headgate::test
