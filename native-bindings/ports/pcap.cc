// Classic pcap files; see pcap.h.
#include "ports/pcap.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "ports/errors.h"

namespace headgate {
namespace {

constexpr uint32_t kMicroseconds = 0xa1b2c3d4;
constexpr uint32_t kNanoseconds = 0xa1b23c4d;
constexpr uint32_t kEthernet = 1;  // LINKTYPE_ETHERNET
constexpr size_t kFileHeader = 24;
constexpr size_t kRecordHeader = 16;

// A file in memory. Offsets are checked by the caller.
struct Capture {
  std::span<const uint8_t> bytes;
  bool swapped = false;

  uint32_t word(size_t at) const {
    uint32_t value;
    std::memcpy(&value, &bytes[at], 4);
    return swapped ? __builtin_bswap32(value) : value;
  }
};

bool read_file(const std::string& path, std::vector<uint8_t>& bytes, std::string& error) {
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) {
    error = "Capture " + path + " cannot be read: " + errno_text(errno);
    return false;
  }
  uint8_t chunk[65536];
  for (size_t size; (size = std::fread(chunk, 1, sizeof chunk, file)) > 0;) {
    bytes.insert(bytes.end(), chunk, chunk + size);
  }
  const bool failed = std::ferror(file) != 0;
  if (failed) error = "Capture " + path + " cannot be read: " + errno_text(errno);
  std::fclose(file);
  return !failed;
}

}  // namespace

std::optional<std::vector<PcapFrame>> read_pcap(const std::string& path, std::string& error) {
  std::vector<uint8_t> bytes;
  if (!read_file(path, bytes, error)) return std::nullopt;
  return parse_pcap(bytes, path, error);
}

std::optional<std::vector<PcapFrame>> parse_pcap(std::span<const uint8_t> bytes, const std::string& name,
                                                 std::string& error) {
  Capture capture{bytes};
  const size_t size = capture.bytes.size();
  const auto malformed = [&](size_t at, const std::string& what) {
    error = "Capture " + name + ", byte " + std::to_string(at) + ": " + what;
    return std::nullopt;
  };
  if (size < kFileHeader) return malformed(0, "shorter than the header of a pcap file");
  uint32_t magic = capture.word(0);
  if (magic == __builtin_bswap32(kMicroseconds) || magic == __builtin_bswap32(kNanoseconds)) {
    capture.swapped = true;
    magic = capture.word(0);
  }
  if (magic != kMicroseconds && magic != kNanoseconds) {
    return malformed(0, "no classic pcap file (a pcapng file? convert it: `editcap -F pcap`)");
  }
  if (const uint32_t link = capture.word(20) & 0xffff; link != kEthernet) {
    return malformed(20, "link type " + std::to_string(link) + " is not Ethernet (1)");
  }
  const uint64_t units = magic == kMicroseconds ? 1'000'000 : 1'000'000'000;
  std::vector<PcapFrame> frames;
  for (size_t at = kFileHeader; at < size;) {
    if (size - at < kRecordHeader) return malformed(at, "a record header is cut off");
    const uint64_t seconds = capture.word(at), fraction = capture.word(at + 4);
    const uint32_t length = capture.word(at + 8), original = capture.word(at + 12);
    if (fraction >= units) return malformed(at + 4, "a fraction of a second that is a second or more");
    if (length > kMaxFrame) return malformed(at + 8, "a frame of " + std::to_string(length) + " bytes is too long");
    if (length != original) return malformed(at + 12, "a frame was cut off when it was captured (`tcpdump -s 0`)");
    at += kRecordHeader;
    if (size - at < length) return malformed(at, "a frame is cut off");
    const uint8_t* data = capture.bytes.data() + at;
    frames.push_back({seconds * 1'000'000'000 + fraction * (1'000'000'000 / units), {data, data + length}});
    at += length;
  }
  return frames;
}

std::unique_ptr<PcapWriter> PcapWriter::open(const std::string& path, std::string& error) {
  std::FILE* file = std::fopen(path.c_str(), "wbe");
  const uint32_t header[] = {kNanoseconds, 2 | 4 << 16, 0, 0, 262144, kEthernet};  // version 2.4, snap length
  static_assert(sizeof header == kFileHeader && std::endian::native == std::endian::little);
  if (file != nullptr && std::fwrite(header, sizeof header, 1, file) == 1) {
    return std::unique_ptr<PcapWriter>(new PcapWriter(file));
  }
  error = "Capture " + path + " cannot be written: " + errno_text(errno);
  if (file != nullptr) std::fclose(file);
  return nullptr;
}

PcapWriter::~PcapWriter() {
  std::fclose(file_);
}

bool PcapWriter::write(uint64_t time, std::span<const uint8_t> bytes) {
  const uint32_t length = static_cast<uint32_t>(bytes.size());
  const uint32_t header[] = {static_cast<uint32_t>(time / 1'000'000'000), static_cast<uint32_t>(time % 1'000'000'000),
                             length, length};
  static_assert(sizeof header == kRecordHeader);
  if (std::fwrite(header, sizeof header, 1, file_) != 1) return false;
  return bytes.empty() || std::fwrite(bytes.data(), bytes.size(), 1, file_) == 1;
}

bool PcapWriter::flush() {
  return std::fflush(file_) == 0;
}

std::unique_ptr<PcapPort> open_pcap(const std::string& read, const std::string& write, std::string& error) {
  auto frames = read_pcap(read, error);
  if (!frames) return nullptr;
  auto writer = PcapWriter::open(write, error);
  if (!writer) return nullptr;
  auto port = std::make_unique<PcapPort>();
  port->frames_ = std::move(*frames);
  port->writer_ = std::move(writer);
  return port;
}

uint64_t PcapPort::time() const {
  return finished() ? last_ : frames_[next_].time;
}

size_t PcapPort::receive(unsigned, std::span<Frame* const> frames) {
  size_t count = 0;
  for (; count < frames.size() && !finished(); count++) {
    Frame& frame = *frames[count];
    const PcapFrame& from = frames_[next_++];
    last_ = from.time;
    frame.data = frame.buffer + kHeadroom;
    frame.length = static_cast<uint32_t>(from.bytes.size());
    frame.offload = {};
    std::copy(from.bytes.begin(), from.bytes.end(), frame.data);
  }
  return count;
}

void PcapPort::transmit(unsigned, std::span<Frame* const> frames, std::span<Reason> outcomes) {
  for (size_t i = 0; i < frames.size(); i++) {
    const Frame& frame = *frames[i];
    const bool owes = frame.offload.kind != Offload::kNone || frame.offload.partial_checksum;
    if (owes) {
      outcomes[i] = Reason::kOutputUnsegmentable;  // not announced in the capabilities
    } else {
      outcomes[i] = writer_->write(last_, {frame.data, frame.length}) ? Reason::kNone : Reason::kOutputFull;
    }
  }
}

}  // namespace headgate
