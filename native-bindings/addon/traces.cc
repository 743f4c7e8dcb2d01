#include "addon/traces.h"

#include <pcap/pcap.h>

#include <ctime>

#include "addon/convert.h"
#include "addon/reports.h"

namespace headgate {
namespace {

std::string format_mac(const Mac& mac) {
  char text[18];
  snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
  return text;
}

template <class List, class Write>
Napi::Array write_all(Napi::Env env, const List& list, Write write) {
  Napi::Array out = Napi::Array::New(env, list.size());
  for (uint32_t i = 0; i < list.size(); ++i) out.Set(i, write(list[i]));
  return out;
}

Napi::Object write_headers(Napi::Env env, const TraceRecord& r) {
  const Headers& h = r.headers;
  Napi::Object out = Napi::Object::New(env);
  out.Set("sourceMac", format_mac(r.source_mac));
  out.Set("destinationMac", format_mac(r.destination_mac));
  Napi::Array vlans = Napi::Array::New(env);
  for (uint32_t i = 0; i < r.tags; ++i) vlans.Set(i, h.vlan[i] & 0x0fff);
  out.Set("vlans", vlans);
  out.Set("ethertype", h.ethertype);
  if (h.fragment) out.Set("fragment", h.first_fragment ? "first" : "later");
  if (h.protocol == kTcp && h.layer4_offset) out.Set("tcpFlags", h.tcp_flags);
  if (h.layer3 == Layer3::kNone) return out;
  out.Set("flow", write_flow_headers(env, {h.source, h.destination, h.source_port, h.destination_port, h.protocol,
                                           h.icmp_type, h.icmp_code}));
  return out;
}

Napi::Object write_connection(Napi::Env env, const Engine& engine, const TraceConnection& c) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("tracker", engine.tracker_name(c.tracker));
  out.Set("isNew", c.is_new);
  out.Set("reply", c.reply);
  out.Set("before", c.before);
  out.Set("after", c.after);
  out.Set("flow", write_flow_headers(env, c.flow));
  return out;
}

Napi::Object write_verdict(Napi::Env env, const Engine& engine, const TraceVerdict& v) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("workload", engine.workload_name(v.workload));
  out.Set("direction", name_of(v.direction));
  out.Set("action", name_of(v.action));
  if (v.entry) {
    const std::string id = engine.entry_id(v.entry);
    out.Set("rule", id.empty() ? "(removed)" : id);
  }
  out.Set("isNew", v.is_new);
  return out;
}

Napi::Object write_output(Napi::Env env, const Engine& engine, const TraceOutput& o) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("workload", engine.workload_name(o.workload));
  if (!o.device.empty()) out.Set("device", o.device);
  out.Set("what", o.answer ? "answer" : "frame");
  return out;
}

Napi::Object write_drop(Napi::Env env, const Engine& engine, const TraceDrop& d) {
  const ReasonText& reason = kReasonTexts[static_cast<size_t>(d.reason)];
  Napi::Object out = Napi::Object::New(env);
  out.Set("reason", reason.name);
  out.Set("text", reason.text);
  out.Set("stage", d.stage);
  out.Set("direction", name_of(d.direction));
  if (d.workload) out.Set("workload", engine.workload_name(d.workload));
  return out;
}

Napi::Object write_trace(Napi::Env env, const Engine& engine, const TraceRecord& r, double now) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("time", now - engine.age(r.time) * 1000);
  if (!r.device.empty()) out.Set("device", r.device);
  const std::string workload = r.workload ? engine.workload_name(r.workload) : "";
  if (!workload.empty()) {
    out.Set("workload", workload);
    if (const std::string segment = engine.segment_of(workload); !segment.empty()) out.Set("segment", segment);
  }
  out.Set("stage", r.stage);
  out.Set("length", r.length);
  out.Set("packets", r.parsed ? r.headers.wire_packets : 1);
  out.Set("frame", Napi::Buffer<uint8_t>::Copy(env, r.bytes.data(), r.bytes.size()));
  if (r.parsed) out.Set("headers", write_headers(env, r));
  if (r.destination) out.Set("destination", engine.workload_name(r.destination));
  if (r.flooded) out.Set("flooded", true);
  if (r.connection) out.Set("connection", write_connection(env, engine, *r.connection));
  if (!r.services.empty())
    out.Set("services", write_all(env, r.services, [&](const TraceService& s) {
              Napi::Object one = Napi::Object::New(env);
              one.Set("tag", engine.tag_name(s.tag));
              one.Set("hop", s.hop == kEntryHop ? 0 : s.hop + 1);
              one.Set("portal", engine.portal_name(s.portal));
              one.Set("key", s.key);
              one.Set("what", s.sent ? "sent" : "returned");
              return one;
            }));
  out.Set("verdicts", write_all(env, r.verdicts, [&](const auto& v) { return write_verdict(env, engine, v); }));
  out.Set("outputs", write_all(env, r.outputs, [&](const auto& o) { return write_output(env, engine, o); }));
  out.Set("drops", write_all(env, r.drops, [&](const auto& d) { return write_drop(env, engine, d); }));
  return out;
}

[[noreturn]] void refuse(Napi::Env env, const char* what) {
  throw Napi::TypeError::New(env, what);
}

bpf_insn read_instruction(const Napi::Value& value) {
  if (!value.IsArray() || value.As<Napi::Array>().Length() != 4)
    refuse(value.Env(), "An instruction must be an array of four numbers.");
  auto four = value.As<Napi::Array>();
  const auto number = [&](uint32_t i) { return four.Get(i).ToNumber().Uint32Value(); };
  return {static_cast<u_short>(number(0)), static_cast<u_char>(number(1)), static_cast<u_char>(number(2)), number(3)};
}

}  // namespace

GivenFrame read_given_frame(const Napi::Value& value) {
  if (!value.IsObject()) refuse(value.Env(), "A frame must be an object.");
  auto object = value.As<Napi::Object>();
  GivenFrame frame;
  frame.workload = read_string(object, "workload");
  if (!object.Get("frame").IsTypedArray()) refuse(value.Env(), "frame must be a Uint8Array.");
  auto bytes = object.Get("frame").As<Napi::Uint8Array>();
  frame.bytes.assign(bytes.Data(), bytes.Data() + bytes.ByteLength());
  frame.own_mac = object.Get("ownMac").ToBoolean();
  frame.to_mac = read_optional_string(object, "toMac").value_or("");
  return frame;
}

TraceRequest read_trace_request(const Napi::Object& object) {
  TraceRequest request;
  if (Napi::Value program = object.Get("program"); program.IsArray()) {
    auto list = program.As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); ++i) request.program.push_back(read_instruction(list.Get(i)));
  }
  request.workload = read_optional_string(object, "workload").value_or("");
  request.entry = read_optional_string(object, "rule");
  if (request.entry == "default") request.entry = "";
  request.dropped = object.Get("dropped").ToBoolean();
  request.bytes = read_optional_number(object, "bytes", kMaxFrame).value_or(0);
  return request;
}

Napi::Array write_traces(Napi::Env env, const Engine& engine,
                         const std::vector<std::unique_ptr<TraceRecord>>& records) {
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  const double now = static_cast<double>(t.tv_sec) * 1000 + static_cast<double>(t.tv_nsec) / 1e6;
  Napi::Array out = Napi::Array::New(env, records.size());
  for (uint32_t i = 0; i < records.size(); ++i) {
    Napi::HandleScope scope(env);
    out.Set(i, write_trace(env, engine, *records[i], now));
  }
  return out;
}

Napi::Value compile_filter(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsString()) refuse(info.Env(), "The expression must be a string.");
  const std::string expression = info[0].As<Napi::String>();
  std::unique_ptr<pcap_t, void (*)(pcap_t*)> pcap(pcap_open_dead(DLT_EN10MB, kMaxFrame), pcap_close);
  bpf_program program{};
  if (!pcap || pcap_compile(pcap.get(), &program, expression.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0) {
    Napi::Error error = Napi::Error::New(info.Env(), pcap ? pcap_geterr(pcap.get()) : "libpcap has no memory");
    error.Set("code", "bad-filter");
    throw error;
  }
  Napi::Array out = Napi::Array::New(info.Env(), program.bf_len);
  for (u_int i = 0; i < program.bf_len; ++i) {
    const bpf_insn& one = program.bf_insns[i];
    Napi::Array four = Napi::Array::New(info.Env(), 4);
    four.Set(0u, one.code);
    four.Set(1u, one.jt);
    four.Set(2u, one.jf);
    four.Set(3u, static_cast<double>(one.k));
    out.Set(i, four);
  }
  pcap_freecode(&program);
  return out;
}

}  // namespace headgate
