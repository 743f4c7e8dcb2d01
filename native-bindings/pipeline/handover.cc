#include "pipeline/handover.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <cerrno>

#include "pipeline/engine.h"

namespace headgate {
namespace {

constexpr int kPatience = 10;  // milliseconds between two tries to get the pools back

// From the giver: when packets began to wait, and when it had let go. From the follower: when it heard of that, and
// when it ran. Nanoseconds.
struct Message {
  uint64_t begun;
  uint64_t done;
  uint32_t connections;
};

bool send(int channel, const Message& message) {
  return ::send(channel, &message, sizeof message, MSG_NOSIGNAL) == sizeof message;
}

enum class Heard { kMessage, kNothing, kEnd };

Heard hear(int channel, Message& message, int timeout) {
  pollfd waiting{channel, POLLIN, 0};
  int ready;
  do {
    ready = poll(&waiting, 1, timeout);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) return Heard::kNothing;
  return recv(channel, &message, sizeof message, MSG_WAITALL) == sizeof message ? Heard::kMessage : Heard::kEnd;
}

}  // namespace

HandoverReport hand_over(Engine& engine, int channel, int timeout, pid_t follower) {
  const uint64_t began = engine.let_go();
  Message message{began, clock_now(), 0};
  const uint64_t stopping = message.done - began;
  const bool told = send(channel, message);
  Heard heard = told ? hear(channel, message, timeout) : Heard::kEnd;
  const bool late = heard == Heard::kNothing;
  std::string error;
  for (int tries = 0; heard != Heard::kMessage && !engine.take_over(error); ++tries) {
    // It has the pools and may run at any moment, unless it is stuck or on its way to die.
    if (tries * kPatience > timeout && follower > 0) kill(follower, SIGKILL);
    if (heard != Heard::kEnd || tries == 0)
      heard = hear(channel, message, kPatience);
    else
      poll(nullptr, 0, kPatience);
  }
  if (heard == Heard::kMessage)
    return {"", message.done - began, stopping, message.done - message.begun, message.connections};
  return {late ? "the new engine did not take over in time" : "the new engine ended while it took over",
          clock_now() - began, stopping, 0, engine.start_report().connections};
}

HandoverReport take_over(Engine& engine, int channel, int timeout) {
  Message message{};
  if (hear(channel, message, timeout) != Heard::kMessage) return {"the engine before did not let go"};
  const uint64_t began = message.begun, stopping = message.done - began, heard = clock_now();
  std::string error;
  if (!engine.take_over(error)) return {error};
  message = {heard, clock_now(), engine.start_report().connections};
  send(channel, message);  // nobody there any more: then there is nobody to tell
  return {"", message.done - began, stopping, message.done - heard, message.connections};
}

}  // namespace headgate
