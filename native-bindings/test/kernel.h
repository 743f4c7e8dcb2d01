// Kernel things for tests of ports: namespaces without a name, which the kernel takes away with this process
// however it ends, and a packet socket with code of its own to look at the other end of a port.
#pragma once

#include <string>

#include "test/frames.h"

namespace headgate::test {

// A network namespace held by a descriptor alone. Needs root.
class TestNamespace {
 public:
  TestNamespace();
  ~TestNamespace() { remove(); }
  TestNamespace(const TestNamespace&) = delete;
  TestNamespace& operator=(const TestNamespace&) = delete;

  // Good in this process and in commands that it runs.
  std::string path() const;
  // Runs a shell command inside; throws with its text when it fails.
  void shell(const std::string& command) const;
  // Waits until the device sends: a veth that is up drops silently until the kernel has noticed its carrier.
  void wait_ready(const std::string& device) const;
  void remove();

 private:
  int descriptor_ = -1;
};

// hgport in one namespace, hgfar in the other, a veth pair between them.
struct VethPair {
  TestNamespace here, there;
  VethPair();
};

// What stands at the kernel's end of a port: sends and receives whole frames at a device of a namespace.
class FarEnd {
 public:
  FarEnd(const TestNamespace& space, const std::string& device);
  ~FarEnd();
  FarEnd(const FarEnd&) = delete;
  FarEnd& operator=(const FarEnd&) = delete;

  void send(const MemoryFrame& frame);
  // Test frames that have arrived; waits until there are `count` or two seconds have passed.
  std::vector<MemoryFrame> receive(size_t count);

 private:
  int socket_ = -1;
};

// Polls until the port has handed over `count` test frames or two seconds have passed.
std::vector<MemoryFrame> receive_from(Port& port, size_t count, size_t batch = 32, unsigned queue = 0);

// True when the descriptor polls readable (or with an error) within the time given.
bool polls_ready(int descriptor, int milliseconds);

}  // namespace headgate::test
