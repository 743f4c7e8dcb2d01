// Work inside a network namespace. A thread's namespace is its own (setns(2)), so the work runs on a
// short-lived thread that enters the namespace and ends; the caller never leaves its own. Sockets and TUN
// descriptors opened there stay in that namespace for good.
#pragma once

#include <functional>
#include <string>

namespace headgate {

// The path of a namespace given as in documents: a name below /run/netns or an absolute path. Empty stays
// empty and means the caller's own namespace.
std::string namespace_path(const std::string& name);

// Runs `work` in the namespace at `path` and waits for it; an empty path runs it here. False with `error` set
// when the namespace cannot be entered, and then `work` was not run. `work` must not throw.
bool run_in_namespace(const std::string& path, const std::function<void()>& work, std::string& error);

}  // namespace headgate
