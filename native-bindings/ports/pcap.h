// Reading and writing captures, and a port made of two of them: what the first file holds is received, what
// is transmitted goes into the second. For replays and golden tests.
//
// The format is classic pcap (draft-ietf-opsawg-pcap): 0xa1b2c3d4 with microseconds or 0xa1b23c4d with
// nanoseconds, in either byte order, link type Ethernet. A pcap has no room for the virtio-net header:
// super-frames are written as they are, and a port made of captures takes none.
#pragma once

#include <cstdio>
#include <optional>
#include <vector>

#include "ports/port.h"

namespace headgate {

struct PcapFrame {
  uint64_t time = 0;  // nanoseconds since the epoch
  std::vector<uint8_t> bytes;
};

// The frames of a capture. Nothing, with `error` set (`name`, byte, what is wrong), when it is malformed;
// frames longer than kMaxFrame and frames that were cut off when they were captured are malformed here.
std::optional<std::vector<PcapFrame>> parse_pcap(std::span<const uint8_t> bytes, const std::string& name,
                                                 std::string& error);
// Reads a file and parses it.
std::optional<std::vector<PcapFrame>> read_pcap(const std::string& path, std::string& error);

// Writes a capture with nanoseconds. Not for several threads.
class PcapWriter {
 public:
  // Creates or empties the file; null with `error` set when that fails.
  static std::unique_ptr<PcapWriter> open(const std::string& path, std::string& error);
  ~PcapWriter();
  PcapWriter(const PcapWriter&) = delete;
  PcapWriter& operator=(const PcapWriter&) = delete;

  // False when the frame could not be written (disk full).
  bool write(uint64_t time, std::span<const uint8_t> bytes);
  bool flush();

 private:
  explicit PcapWriter(std::FILE* file) : file_(file) {}
  std::FILE* file_;
};

class PcapPort final : public Port {
 public:
  PortCapabilities capabilities() const override { return {}; }
  // Always -1: a file is always ready, so the worker asks in every round.
  int descriptor(unsigned) const override { return -1; }
  size_t receive(unsigned queue, std::span<Frame* const> frames) override;
  // Frames are stamped with the time of the last frame received, so that a replay gives the same file every
  // time.
  void transmit(unsigned queue, std::span<Frame* const> frames, std::span<Reason> outcomes) override;
  std::string failure() const override { return {}; }

  // Everything was received.
  bool finished() const { return next_ == frames_.size(); }
  // The time of the frame that receive gives next, to drive a replay's clock; of the last one when finished.
  uint64_t time() const;
  // What was transmitted is in the file; false when the disk was full.
  bool flush() { return writer_->flush(); }

 private:
  friend std::unique_ptr<PcapPort> open_pcap(const std::string&, const std::string&, std::string&);

  std::vector<PcapFrame> frames_;
  size_t next_ = 0;
  uint64_t last_ = 0;
  std::unique_ptr<PcapWriter> writer_;
};

// Reads the whole file `read` and creates `write`. Null with `error` set when either fails.
std::unique_ptr<PcapPort> open_pcap(const std::string& read, const std::string& write, std::string& error);

}  // namespace headgate
