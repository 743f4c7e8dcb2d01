// How long a connection may be idle: by the class that its state puts it into, and by profile.
//
// A profile is how the connections are followed that a section's rules have judged: what may begin one, and idle times.
// Profile 0 is the host's; the publisher gives out the others. A record stands in one of 256 lists, one for each
// profile and class, so that all records of a list have the same idle time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace headgate {

// What may begin a connection of a protocol that opens and closes (TCP, SCTP), and how closely it is then followed.
enum class TrackingMode : uint8_t {
  kStrict,   // begins with its opening packet
  kPickup,   // or with any other but an answer to an opening one or a reset; then it is held to what is known
  kLiberal,  // or with an answer too; TCP windows are held to for resets alone
};

// Idle times after which a connection is forgotten, in milliseconds.
struct Timeouts {
  uint32_t tcp_opening = 20'000;
  uint32_t tcp_established = 7'440'000;  // RFC 5382, REQ-5
  uint32_t tcp_closing = 10'000;
  uint32_t udp_one_way = 30'000;
  uint32_t udp_two_way = 180'000;  // RFC 4787, REQ-5
  uint32_t icmp = 30'000;
  uint32_t other = 60'000;
  uint32_t denied = 5'000;

  bool operator==(const Timeouts&) const = default;
};

constexpr std::array<uint32_t Timeouts::*, 8> kTimeoutFields = {&Timeouts::tcp_opening, &Timeouts::tcp_established,
                                                                &Timeouts::tcp_closing, &Timeouts::udp_one_way,
                                                                &Timeouts::udp_two_way, &Timeouts::icmp,
                                                                &Timeouts::other,       &Timeouts::denied};

enum class TimeoutClass : uint8_t {
  kFree = 0,
  kDenied,
  kEnded,  // its rule was changed with `reset`: denied for as long as it lasts
  kClosing,
  kTcpOpening,
  kUdpOneWay,
  kIcmpOneWay,
  kOtherOneWay,
  kTcpEstablished,
  kUdpTwoWay,
  kIcmpTwoWay,
  kOtherTwoWay,
  kCount
};
constexpr unsigned kClassBits = 4;
constexpr unsigned kProfiles = 16;
constexpr unsigned kTimeoutLists = kProfiles << kClassBits;
static_assert(static_cast<unsigned>(TimeoutClass::kCount) <= 1u << kClassBits);

// Idle time of a class in milliseconds.
inline uint32_t timeout_of(TimeoutClass timeout_class, const Timeouts& t) {
  // In the order of TimeoutClass.
  static constexpr uint32_t Timeouts::*kByClass[] = {
      &Timeouts::other,           &Timeouts::denied,      &Timeouts::denied, &Timeouts::tcp_closing,
      &Timeouts::tcp_opening,     &Timeouts::udp_one_way, &Timeouts::icmp,   &Timeouts::other,
      &Timeouts::tcp_established, &Timeouts::udp_two_way, &Timeouts::icmp,   &Timeouts::other};
  static_assert(std::size(kByClass) == static_cast<size_t>(TimeoutClass::kCount));
  return t.*kByClass[static_cast<int>(timeout_class)];
}

struct Profile {
  TrackingMode mode = TrackingMode::kPickup;
  Timeouts timeouts;

  bool operator==(const Profile&) const = default;
};

// All profiles, and their idle times by list. Profiles that are not given out are as the host's.
class Profiles {
 public:
  explicit Profiles(const Profile& host = {}) {
    for (uint8_t i = 0; i < kProfiles; ++i) set(i, host);
  }
  void set(uint8_t number, const Profile& profile) {
    profiles_[number] = profile;
    for (unsigned c = 0; c < static_cast<unsigned>(TimeoutClass::kCount); ++c)
      idle_[unsigned{number} << kClassBits | c] = timeout_of(static_cast<TimeoutClass>(c), profile.timeouts);
  }
  const Profile& operator[](uint8_t number) const { return profiles_[number]; }
  uint32_t idle(uint8_t list) const { return idle_[list]; }

 private:
  std::array<Profile, kProfiles> profiles_;
  std::array<uint32_t, kTimeoutLists> idle_{};
};

}  // namespace headgate
