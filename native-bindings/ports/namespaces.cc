// Enters network namespaces; see namespaces.h.
#include "ports/namespaces.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <thread>

#include "ports/errors.h"

namespace headgate {

std::string namespace_path(const std::string& name) {
  if (name.empty() || name[0] == '/') return name;
  return "/run/netns/" + name;
}

static std::string cannot_enter(const std::string& path, int error) {
  std::string text = "Network namespace " + path + " cannot be entered: " + errno_text(error) + ". ";
  if (error == ENOENT) return text + "Create it (`ip netns add NAME`) or correct `netns`.";
  if (error == EPERM) return text + "The engine needs CAP_SYS_ADMIN to enter a namespace.";
  if (error == EINVAL) return text + "The file is no network namespace: correct `netns`.";
  return text + "Check that the path can be read.";
}

bool run_in_namespace(const std::string& path, const std::function<void()>& work, std::string& error) {
  if (path.empty()) {
    work();
    return true;
  }
  const int target = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (target < 0) {
    error = cannot_enter(path, errno);
    return false;
  }
  int failed = 0;
  try {
    std::thread([&] {
      if (setns(target, CLONE_NEWNET) != 0) {
        failed = errno;
        return;
      }
      work();
    }).join();
  } catch (const std::system_error& no_thread) {
    failed = no_thread.code().value();
  }
  close(target);
  if (failed != 0) error = cannot_enter(path, failed);
  return failed == 0;
}

}  // namespace headgate
