// Helpers: what a connection says that announces another one, and the new connection that was announced. They are at
// work only where a rule asks for them.
//
// A line of FTP counts where its segment begins at a number at which a line is known to begin: behind the SYN, or
// behind a segment that ended a line. So text that a server only repeats from its client is none of its replies, and a
// client that acknowledges what it likes cannot make it one. A TFTP server answers a request from another port (RFC
// 1350, 4), so the request itself is the announcement.
#include "packet/ftp.h"
#include "stages/stage.h"

namespace headgate {
namespace {

std::string_view payload_of(const Frame& frame) {
  const Headers& h = frame.headers;
  const uint32_t end = h.layer3_offset + h.layer3_length;
  return {reinterpret_cast<const char*>(frame.data + h.payload_offset), end - h.payload_offset};
}

constexpr int kMostOfSegment = 4;  // announcements: an end sends one and waits

// The announced connection goes to the frame's sender.
void expect(const Frame& frame, Context& ctx, const Connection& c, uint16_t port) {
  const Headers& h = frame.headers;
  const FlowHeaders flow = ctx.connections.flow_of(c);
  ctx.expectations->add({h.destination, h.source, port, frame.tracker, h.protocol},
                        {flow.source_port, flow.destination_port, !frame.reply}, ctx.now);
}

void read_lines(const Frame& frame, Context& ctx, const Connection& c, std::string_view text) {
  int found = 0;
  for (size_t end; (end = text.find('\n')) != std::string_view::npos && found < kMostOfSegment;
       text.remove_prefix(end + 1))
    if (const auto port = announced_port(text.substr(0, end), frame.reply)) {
      expect(frame, ctx, c, *port);
      ++found;
    }
}

}  // namespace

void read_ftp(const Frame& frame, Context& ctx, const Connection& c, const TcpSegment& segment) {
  if (!ctx.expectations) return;
  auto& line = ctx.helpers.of(ctx.connections, c).line[frame.reply];
  if (segment.flags & kSyn) line = {true, segment.sequence + 1};
  if ((segment.flags & kSyn) || segment.length == 0 || frame.headers.fragment) return;
  const std::string_view text = payload_of(frame);
  if (line.known && segment.sequence == line.at) read_lines(frame, ctx, c, text);
  const uint32_t behind = segment.sequence + segment.length;
  if (text.back() == '\n' && (!line.known || static_cast<int32_t>(behind - line.at) > 0)) line = {true, behind};
}

void read_tftp(const Frame& frame, Context& ctx, const Connection& c) {
  enum Opcode : char { kRead = 1, kWrite = 2 };
  if (!ctx.expectations || frame.reply || frame.headers.fragment) return;
  if (frame.headers.source_port < kFirstAnnouncedPort) return;
  const std::string_view text = payload_of(frame);
  if (text.size() < 4 || text[0] != 0 || (text[1] != kRead && text[1] != kWrite)) return;
  expect(frame, ctx, c, frame.headers.source_port);
}

void note_expected(const Frame& frame, Context& ctx, Connection& c) {
  const Headers& h = frame.headers;
  if (h.protocol == kTcp && (h.tcp_flags & (kSyn | kAck)) != kSyn) return;  // it will not begin a connection
  const auto parent =
      ctx.expectations->take({h.source, h.destination, h.destination_port, frame.tracker, h.protocol}, ctx.now);
  if (!parent) return;
  ctx.helpers.of(ctx.connections, c).parent = *parent;
  c.verdict[0].expected = c.verdict[1].expected = true;
}

}  // namespace headgate
