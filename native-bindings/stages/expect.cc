// Helpers: what a connection says that announces another one, and the new connection that was announced. They are at
// work only where a rule asks for them.
//
// A line of FTP counts where it begins a line in the sender's stream, is all in one segment, and that segment comes in
// order: so text that a server only repeats from its client is none of its replies. A TFTP server answers a request
// from another port (RFC 1350, 4), so the request itself is the announcement.
#include "packet/ftp.h"
#include "stages/stage.h"

namespace headgate {
namespace {

std::string_view payload_of(const Frame& frame) {
  const Headers& h = frame.headers;
  const uint32_t end = h.layer3_offset + h.layer3_length;
  return {reinterpret_cast<const char*>(frame.data + h.payload_offset), end - h.payload_offset};
}

// The announced connection goes to the frame's sender.
void expect(const Frame& frame, Context& ctx, const Connection& c, uint16_t port) {
  const Headers& h = frame.headers;
  const FlowHeaders flow = ctx.connections.flow_of(c);
  ctx.expectations->add({h.destination, h.source, port, frame.tracker, h.protocol},
                        {flow.source_port, flow.destination_port, !frame.reply}, ctx.now);
}

}  // namespace

void read_ftp(const Frame& frame, Context& ctx, const Connection& c, const TcpSegment& segment) {
  const bool side = frame.reply;
  if (!ctx.expectations || segment.length == 0 || frame.headers.fragment) return;
  const bool in_order = segment.sequence == c.tcp.end[side];
  // One that lies before what was sent already tells nothing new.
  if (!in_order && static_cast<int32_t>(segment.end() - c.tcp.end[side]) <= 0) return;
  bool& within_line = ctx.helpers.of(ctx.connections, c).within_line[side];
  std::string_view text = payload_of(frame);
  if (in_order && !within_line) {
    for (size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1))
      if (const auto port = announced_port(text.substr(0, end), side)) expect(frame, ctx, c, *port);
  }
  within_line = payload_of(frame).back() != '\n';
}

void read_tftp(const Frame& frame, Context& ctx, const Connection& c) {
  enum Opcode : char { kRead = 1, kWrite = 2 };
  if (!ctx.expectations || frame.reply || frame.headers.fragment) return;
  const std::string_view text = payload_of(frame);
  if (text.size() < 4 || text[0] != 0 || (text[1] != kRead && text[1] != kWrite)) return;
  expect(frame, ctx, c, frame.headers.source_port);
}

void note_expected(const Frame& frame, Context& ctx, Connection& c) {
  const Headers& h = frame.headers;
  const auto parent =
      ctx.expectations->take({h.source, h.destination, h.destination_port, frame.tracker, h.protocol}, ctx.now);
  if (!parent) return;
  ctx.helpers.of(ctx.connections, c).parent = *parent;
  c.verdict[0].expected = c.verdict[1].expected = true;
}

}  // namespace headgate
