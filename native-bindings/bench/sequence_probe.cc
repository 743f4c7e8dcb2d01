// Numbered datagrams at an even pace: which of them are lost, and for how long none comes.
//
//   sequence_probe receive --port 9300
//   sequence_probe send --to 10.0.0.2 --port 9300 --rate 10000        until it is killed
//
// The receiver answers each line of its input with what has come since the line before, and ends with its input. A gap
// is told in the window in which it ends; a datagram is lost when a later one has come. Arrivals are stamped by the
// kernel, and the sender takes a processor before others do: so a gap is one of the path, and not of either end. How
// long the sender itself has paused is told beside it.
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <bitset>
#include <ctime>

#include "bench/sockets.h"

namespace headgate::bench {
namespace {

struct Datagram {
  uint64_t number;
  int64_t sent;  // nanoseconds since 1970, as the kernel stamps arrivals
};

int64_t Nanoseconds(const timespec& time) {
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

int64_t Now(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return Nanoseconds(time);
}

// Further behind, the sender goes on from now: to catch up would be a burst that fills queues.
constexpr int64_t kMostBehind = 5'000'000;

int Send(int argc, char** argv) {
  const Address to =
      ParseAddress(Option(argc, argv, "--to", ""), static_cast<uint16_t>(Number(argc, argv, "--port", 9300)));
  const auto interval = static_cast<int64_t>(1e9 / std::max(1.0, Number(argc, argv, "--rate", 10'000)));
  const int fd = socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, to.get(), to.length) < 0) Fail("connect");
  const int space = 16 << 20;  // what waits in a queue on the way counts
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &space, sizeof space);
  prctl(PR_SET_TIMERSLACK, 1);
  const sched_param first{.sched_priority = 1};
  sched_setscheduler(0, SCHED_FIFO, &first);  // where that is refused, its pauses are told all the same

  int64_t next = Now(CLOCK_MONOTONIC);
  for (uint64_t number = 0;;) {
    const timespec at{next / 1'000'000'000, next % 1'000'000'000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
    const Datagram datagram{number, Now(CLOCK_REALTIME)};
    // One that is refused has its number too: it is lost as one that is dropped on the way.
    if (send(fd, &datagram, sizeof datagram, MSG_DONTWAIT) < 0 && errno == EINVAL) Fail("send");
    number++;
    next += interval;
    const int64_t now = Now(CLOCK_MONOTONIC);
    if (now - next > kMostBehind) next = now;
  }
}

class Receiver {
 public:
  void Take(const Datagram& datagram, int64_t arrived) {
    const uint64_t number = datagram.number;
    if (began_) {
      if (arrived - last_arrival_ > gap_) {
        gap_ = arrived - last_arrival_;
        gap_end_ = arrived;
      }
      if (number <= highest_ && (highest_ - number >= kRemembered || seen_[number % kRemembered])) {
        repeated_++;
        return;
      }
      for (uint64_t i = highest_ + 1; i < number && i <= highest_ + kRemembered; i++) seen_[i % kRemembered] = false;
      if (number > highest_) sender_gap_ = std::max(sender_gap_, (datagram.sent - last_sent_) / Steps(number));
    } else {
      began_ = true;
      told_ = number - 1;
      highest_ = number;
    }
    seen_[number % kRemembered] = true;
    received_++;
    wait_ = std::max(wait_, arrived - datagram.sent);
    last_arrival_ = arrived;
    if (number >= highest_) {
      highest_ = number;
      last_sent_ = datagram.sent;
    }
  }

  void Tell() {
    const auto sent = static_cast<int64_t>(highest_ - told_);
    printf(
        "{\"sent\":%lld,\"lost\":%lld,\"repeated\":%llu,\"gap\":%.1f,\"gapEnd\":%.1f,\"senderGap\":%.1f,\"wait\":%.1f}"
        "\n",
        static_cast<long long>(sent), static_cast<long long>(sent - received_),
        static_cast<unsigned long long>(repeated_), Micros(gap_), Micros(gap_end_), Micros(sender_gap_), Micros(wait_));
    fflush(stdout);
    told_ = highest_;
    received_ = 0;
    repeated_ = 0;
    gap_ = gap_end_ = sender_gap_ = wait_ = 0;
  }

 private:
  static constexpr uint64_t kRemembered = 1 << 20;

  static double Micros(int64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e3; }
  // Where some are missing between the two, the sender's pauses are not known one by one.
  int64_t Steps(uint64_t number) const { return static_cast<int64_t>(number - highest_); }

  bool began_ = false;
  std::bitset<kRemembered> seen_;
  uint64_t told_ = 0, highest_ = 0, repeated_ = 0;
  int64_t received_ = 0, last_arrival_ = 0, last_sent_ = 0, gap_ = 0, gap_end_ = 0, sender_gap_ = 0, wait_ = 0;
};

// False when nothing was there.
bool TakeOne(int fd, Receiver& receiver) {
  Datagram datagram{};
  iovec vector{&datagram, sizeof datagram};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(timespec))];
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR) return false;
    Fail("recvmsg");
  }
  const cmsghdr* stamp = CMSG_FIRSTHDR(&message);
  if (n != sizeof datagram || stamp == nullptr || stamp->cmsg_type != SCM_TIMESTAMPNS) return true;
  timespec arrived{};
  memcpy(&arrived, CMSG_DATA(stamp), sizeof arrived);
  receiver.Take(datagram, Nanoseconds(arrived));
  return true;
}

int Receive(int argc, char** argv) {
  const int fd = BoundSocket(SOCK_DGRAM, static_cast<uint16_t>(Number(argc, argv, "--port", 9300)));
  const int space = 16 << 20, on = 1;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &space, sizeof space);
  if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) < 0) Fail("SO_TIMESTAMPNS");
  SayReady();

  static Receiver receiver;
  pollfd waiting[] = {{fd, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
  for (;;) {
    poll(waiting, 2, -1);
    while (TakeOne(fd, receiver)) {
    }
    if (waiting[1].revents == 0) continue;
    char line[256];
    const ssize_t n = read(STDIN_FILENO, line, sizeof line);
    if (n <= 0) return 0;
    for (ssize_t i = 0; i < n; i++) {
      if (line[i] == '\n') receiver.Tell();
    }
  }
}

}  // namespace
}  // namespace headgate::bench

int main(int argc, char** argv) {
  const std::string_view role = argc > 1 ? argv[1] : "";
  if (role == "send") return headgate::bench::Send(argc, argv);
  if (role == "receive") return headgate::bench::Receive(argc, argv);
  fprintf(stderr,
          "usage: sequence_probe send --to ADDRESS [--port P] [--rate N]\n"
          "       sequence_probe receive [--port P]\n");
  return 2;
}
