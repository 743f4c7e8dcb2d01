// The addon: the engine as a JavaScript object (src/engine/addon.ts has its types). JavaScript attaches, publishes and
// asks; it never touches a packet, and nothing here calls back into JavaScript from another thread.
#include <napi.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmath>
#include <cstring>

#include "addon/attach.h"
#include "addon/convert.h"
#include "addon/policy.h"
#include "addon/reports.h"
#include "addon/traces.h"
#include "addon/unix_datagram.h"
#include "pipeline/convert.h"
#include "pipeline/engine.h"
#include "pipeline/handover.h"
#include "ports/memory.h"
#include "ports/tunnel.h"

namespace headgate {
namespace {

[[noreturn]] void fail(Napi::Env env, const std::string& code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", code);
  throw error;
}

std::string name_argument(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsString())
    throw Napi::TypeError::New(info.Env(), "The first argument must be a workload's name.");
  return info[0].As<Napi::String>().Utf8Value();
}

Napi::Object object_argument(const Napi::CallbackInfo& info, size_t at) {
  if (info.Length() <= at || !info[at].IsObject())
    throw Napi::TypeError::New(info.Env(), "An argument must be an object.");
  return info[at].As<Napi::Object>();
}

std::vector<int> read_descriptors(const Napi::Value& value) {
  std::vector<int> descriptors;
  if (!value.IsArray()) return descriptors;
  auto given = value.As<Napi::Array>();
  for (uint32_t i = 0; i < given.Length(); ++i) descriptors.push_back(given.Get(i).ToNumber().Int32Value());
  return descriptors;
}

Napi::Array write_descriptors(Napi::Env env, const std::vector<int>& descriptors) {
  Napi::Array out = Napi::Array::New(env, descriptors.size());
  for (uint32_t i = 0; i < descriptors.size(); ++i) out.Set(i, descriptors[i]);
  return out;
}

class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Engine",
                       {
                           InstanceMethod<&EngineObject::publish>("publish"),
                           InstanceMethod<&EngineObject::attach>("attach"),
                           InstanceMethod<&EngineObject::attach_together>("attachTogether"),
                           InstanceMethod<&EngineObject::detach>("detach"),
                           InstanceMethod<&EngineObject::failures>("failures"),
                           InstanceMethod<&EngineObject::inventory>("inventory"),
                           InstanceMethod<&EngineObject::stats>("stats"),
                           InstanceMethod<&EngineObject::flows>("flows"),
                           InstanceMethod<&EngineObject::logs>("logs"),
                           InstanceMethod<&EngineObject::flow_log>("flowLog"),
                           InstanceMethod<&EngineObject::end_flow_log>("endFlowLog"),
                           InstanceMethod<&EngineObject::classify>("classify"),
                           InstanceMethod<&EngineObject::simulate>("simulate"),
                           InstanceMethod<&EngineObject::inject_traced>("injectTraced"),
                           InstanceMethod<&EngineObject::start_trace>("startTrace"),
                           InstanceMethod<&EngineObject::take_trace>("takeTrace"),
                           InstanceMethod<&EngineObject::stop_trace>("stopTrace"),
                           InstanceMethod<&EngineObject::inject>("inject"),
                           InstanceMethod<&EngineObject::collect>("collect"),
                           InstanceMethod<&EngineObject::run>("run"),
                           InstanceMethod<&EngineObject::await_workers>("awaitWorkers"),
                           InstanceMethod<&EngineObject::descriptors>("descriptors"),
                           InstanceMethod<&EngineObject::start_report>("startReport"),
                           InstanceMethod<&EngineObject::policy>("policy"),
                           InstanceMethod<&EngineObject::follow>("follow"),
                           InstanceMethod<&EngineObject::mark_changes>("markChanges"),
                           InstanceMethod<&EngineObject::convert>("convert"),
                           InstanceMethod<&EngineObject::convert_for>("convertFor"),
                           InstanceMethod<&EngineObject::forget_upgrade>("forgetUpgrade"),
                           InstanceMethod<&EngineObject::hand_over>("handOver"),
                           InstanceMethod<&EngineObject::take_over>("takeOver"),
                           InstanceMethod<&EngineObject::stop>("stop"),
                       });
  }

  explicit EngineObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineObject>(info) {
    Napi::Object given = object_argument(info, 0);
    EngineOptions options;
    options.workers = read_optional_number(given, "workers", 64).value_or(1);
    options.connections = read_optional_number(given, "connections", 1u << 26).value_or(options.connections);
    options.rules = read_optional_number(given, "rules", 1u << 24).value_or(static_cast<uint32_t>(options.rules));
    options.pool_directory = read_string(given, "poolDirectory");
    options.follow = given.Get("follow").ToBoolean();
    std::string error;
    engine_ = Engine::create(options, error);
    if (!engine_) fail(info.Env(), "engine-refused", error);
  }

 private:
  Engine& engine(Napi::Env env) {
    if (!engine_) fail(env, "engine-stopped", "The engine has been stopped.");
    return *engine_;
  }

  Napi::Value publish(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    auto promise = Napi::Promise::Deferred::New(env);
    Delta delta = read_delta(object_argument(info, 0));
    if (Refusal refusal = engine(env).publish(delta)) fail(env, refusal.code, refusal.message);
    Napi::Object result = Napi::Object::New(env);
    result.Set("generation", static_cast<double>(engine_->generation()));
    promise.Resolve(result);
    return promise.Promise();
  }

  Napi::Value attach(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    std::string workload = name_argument(info);
    Napi::Object spec = object_argument(info, 1);
    Napi::Object result = Napi::Object::New(env);
    if (std::string device = shared_device(spec); !device.empty()) {
      Refusal refusal;
      if (engine(env).attach_to_shared(workload, device, is_tunnel(spec), refusal)) {
        if (refusal) fail(env, refusal.code, refusal.message);
        return result;
      }
    }
    if (is_tunnel(spec)) {
      OpenedTunnel opened = open_tunnel_port(spec, engine(env).queues(), read_descriptors(info[2]));
      if (!opened.port) fail(env, "attach-failed", opened.error);
      if (Refusal refusal = engine_->attach(workload, std::move(opened.port), shared_device(spec)))
        fail(env, refusal.code, refusal.message);
      return result;
    }
    OpenedPort opened = open_port(spec, engine(env).queues(), read_descriptors(info[2]));
    if (!opened.port) fail(env, "attach-failed", opened.error);
    if (Refusal refusal = engine_->attach(workload, std::move(opened.port), opened.device, opened.trunk))
      fail(env, refusal.code, refusal.message);
    if (auto mac = read_optional_string(spec, "mac")) result.Set("mac", *mac);
    return result;
  }

  void attach_together(const Napi::CallbackInfo& info) {
    engine(info.Env()).attach_together(info[0].ToBoolean().Value());
  }

  void detach(const Napi::CallbackInfo& info) {
    bool remove = info.Length() > 1 && info[1].ToBoolean().Value();
    engine(info.Env()).detach(name_argument(info), remove);
  }

  Napi::Value failures(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    Napi::Array out = Napi::Array::New(env);
    engine(env).ask_path_mtus();
    for (const Failure& failure : engine(env).failures()) {
      Napi::Object one = Napi::Object::New(env);
      one.Set("workload", failure.workload);
      one.Set("detail", failure.detail);
      out.Set(out.Length(), one);
    }
    return out;
  }

  Napi::Value inventory(const Napi::CallbackInfo& info) {
    Engine& e = engine(info.Env());
    return write_inventory(info.Env(), e.inventory(), e.generation());
  }

  Napi::Value stats(const Napi::CallbackInfo& info) { return write_stats(info.Env(), engine(info.Env()).stats()); }

  Napi::Value flows(const Napi::CallbackInfo& info) {
    uint32_t limit = info.Length() > 0 && info[0].IsNumber() ? info[0].As<Napi::Number>().Uint32Value() : 1000;
    bool denied = info.Length() > 1 && info[1].ToBoolean().Value();
    uint64_t total = 0;
    auto flows = engine(info.Env()).flows(limit, denied, total);
    return write_flows(info.Env(), flows, total);
  }

  Napi::Value logs(const Napi::CallbackInfo& info) { return write_logs(info.Env(), engine(info.Env()).logs()); }

  Napi::Value flow_log(const Napi::CallbackInfo& info) {
    const double seconds = info.Length() > 0 && info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : 0;
    if (!(seconds > 0 && seconds <= 86400))
      throw Napi::TypeError::New(info.Env(), "The active timeout must be a number of seconds, up to 86400.");
    return write_flow_log(info.Env(), engine(info.Env()).flow_log(static_cast<uint32_t>(std::ceil(seconds * 1000))));
  }

  void end_flow_log(const Napi::CallbackInfo& info) { engine(info.Env()).end_flow_log(); }

  Napi::Value classify(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    std::string workload = name_argument(info);
    Direction direction = read_direction(info[1]);
    Action action;
    std::string entry;
    if (!engine(env).classify(workload, direction, read_flow(object_argument(info, 2)), action, entry))
      fail(env, "unknown-workload", "There is no workload '" + workload + "'.");
    Napi::Object out = Napi::Object::New(env);
    out.Set("action", name_of(action));
    if (!entry.empty()) out.Set("rule", entry);
    return out;
  }

  Napi::Value simulate(const Napi::CallbackInfo& info) {
    if (info.Length() < 1 || !info[0].IsArray()) throw Napi::TypeError::New(info.Env(), "The frames must be an array.");
    auto given = info[0].As<Napi::Array>();
    std::vector<GivenFrame> frames;
    for (uint32_t i = 0; i < given.Length(); ++i) frames.push_back(read_given_frame(given.Get(i)));
    std::vector<std::unique_ptr<TraceRecord>> records;
    if (Refusal refusal = engine(info.Env()).simulate(frames, records)) fail(info.Env(), refusal.code, refusal.message);
    return write_traces(info.Env(), *engine_, records);
  }

  Napi::Value inject_traced(const Napi::CallbackInfo& info) {
    GivenFrame frame = read_given_frame(info[0]);
    std::vector<std::unique_ptr<TraceRecord>> records(1);
    if (Refusal refusal = engine(info.Env()).inject(frame, records[0])) fail(info.Env(), refusal.code, refusal.message);
    return write_traces(info.Env(), *engine_, records).Get(0u);
  }

  Napi::Value start_trace(const Napi::CallbackInfo& info) {
    uint32_t id = 0;
    if (Refusal refusal = engine(info.Env()).start_trace(read_trace_request(object_argument(info, 0)), id))
      fail(info.Env(), refusal.code, refusal.message);
    return Napi::Number::New(info.Env(), id);
  }

  Napi::Value take_trace(const Napi::CallbackInfo& info) {
    TakenTraces taken;
    if (!engine(info.Env()).take_trace(info[0].ToNumber().Uint32Value(), info[1].ToNumber().Uint32Value(), taken))
      fail(info.Env(), "unknown-trace", "There is no such trace: it ended, or nobody took from it for too long.");
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("traces", write_traces(info.Env(), *engine_, taken.records));
    out.Set("lost", static_cast<double>(taken.lost));
    return out;
  }

  void stop_trace(const Napi::CallbackInfo& info) { engine(info.Env()).stop_trace(info[0].ToNumber().Uint32Value()); }

  MemoryPort& memory_port(const Napi::CallbackInfo& info) {
    auto* port = dynamic_cast<MemoryPort*>(engine(info.Env()).port_of(name_argument(info)));
    if (!port) fail(info.Env(), "no-memory-port", "That workload has no memory port.");
    return *port;
  }

  void inject(const Napi::CallbackInfo& info) {
    MemoryPort& port = memory_port(info);
    if (info.Length() < 2 || !info[1].IsTypedArray())
      throw Napi::TypeError::New(info.Env(), "The frame must be a Uint8Array.");
    auto bytes = info[1].As<Napi::Uint8Array>();
    Offload offload = info.Length() > 2 && info[2].IsObject() ? read_offload(info[2].As<Napi::Object>()) : Offload{};
    if (!port.push({bytes.Data(), bytes.ByteLength()}, offload))
      fail(info.Env(), "frame-too-long", "The frame is longer than a buffer.");
  }

  Napi::Value collect(const Napi::CallbackInfo& info) {
    Napi::Array out = Napi::Array::New(info.Env());
    for (const MemoryFrame& frame : memory_port(info).take())
      out.Set(out.Length(), Napi::Buffer<uint8_t>::Copy(info.Env(), frame.bytes.data(), frame.bytes.size()));
    return out;
  }

  Napi::Value run(const Napi::CallbackInfo& info) {
    bool lossless = false;
    if (info.Length() < 1 || !info[0].IsBigInt())
      throw Napi::TypeError::New(info.Env(), "The time must be a bigint of nanoseconds.");
    uint64_t now = info[0].As<Napi::BigInt>().Uint64Value(&lossless);
    return Napi::Number::New(info.Env(), static_cast<double>(engine(info.Env()).run(now)));
  }

  void await_workers(const Napi::CallbackInfo& info) { engine(info.Env()).await_workers(); }

  Napi::Value descriptors(const Napi::CallbackInfo& info) {
    std::vector<int> out;
    const Port* port = engine(info.Env()).port_of(name_argument(info));
    if (const auto* tunnel = dynamic_cast<const TunnelPort*>(port))
      out = tunnel->receivers();
    else if (port)
      for (unsigned queue = 0; queue < port->capabilities().queues; ++queue) out.push_back(port->descriptor(queue));
    return write_descriptors(info.Env(), out);
  }

  Napi::Value start_report(const Napi::CallbackInfo& info) {
    const StartReport& report = engine(info.Env()).start_report();
    constexpr const char* kLeft[] = {"nothing", "in-order", "in-disorder"};
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("left", kLeft[static_cast<int>(report.left)]);
    out.Set("connections", report.connections);
    out.Set("forgotten", report.forgotten);
    Napi::Array alarms = Napi::Array::New(info.Env());
    for (const std::string& alarm : report.alarms) alarms.Set(alarms.Length(), alarm);
    out.Set("alarms", alarms);
    return out;
  }

  Napi::Value policy(const Napi::CallbackInfo& info) {
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("delta", write_delta(info.Env(), engine(info.Env()).policy()));
    out.Set("numbering", write_numbering(info.Env(), engine_->numbering()));
    return out;
  }

  void follow(const Napi::CallbackInfo& info) {
    const Delta delta = read_delta(object_argument(info, 0));
    if (Refusal refusal = engine(info.Env()).follow(delta, read_numbering(object_argument(info, 1))))
      fail(info.Env(), refusal.code, refusal.message);
  }

  Napi::Value write_report(Napi::Env env, const HandoverReport& report) {
    Napi::Object out = Napi::Object::New(env);
    if (!report.error.empty()) out.Set("error", report.error);
    out.Set("pauseMicroseconds", static_cast<double>(report.waited) / 1000);
    out.Set("stopMicroseconds", static_cast<double>(report.stopping) / 1000);
    out.Set("startMicroseconds", static_cast<double>(report.starting) / 1000);
    out.Set("connections", report.connections);
    return out;
  }

  void mark_changes(const Napi::CallbackInfo& info) { engine(info.Env()).mark_changes(info[0].ToBoolean()); }

  Napi::Value convert(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), engine(info.Env()).convert());
  }

  Napi::Value convert_for(const Napi::CallbackInfo& info) {
    std::string error;
    uint32_t records = 0;
    if (!engine(info.Env()).convert_for(info[0].ToNumber().Uint32Value(), records, error))
      fail(info.Env(), "layout", error);
    return Napi::Number::New(info.Env(), records);
  }

  void forget_upgrade(const Napi::CallbackInfo& info) { engine(info.Env()).forget_upgrade(); }

  Napi::Value hand_over(const Napi::CallbackInfo& info) {
    return write_report(info.Env(),
                        headgate::hand_over(engine(info.Env()), info[0].ToNumber().Int32Value(),
                                            info[1].ToNumber().Int32Value(), info[2].ToNumber().Int32Value()));
  }

  Napi::Value take_over(const Napi::CallbackInfo& info) {
    return write_report(info.Env(), headgate::take_over(engine(info.Env()), info[0].ToNumber().Int32Value(),
                                                        info[1].ToNumber().Int32Value()));
  }

  void stop(const Napi::CallbackInfo&) { engine_.reset(); }

  std::unique_ptr<Engine> engine_;
};

// sendDatagram(socket, payload, descriptors)
void send(const Napi::CallbackInfo& info) {
  if (info.Length() < 3 || !info[0].IsString() || !info[1].IsTypedArray() || !info[2].IsArray())
    throw Napi::TypeError::New(info.Env(),
                               "The arguments must be a socket's name, a Uint8Array and an array of descriptors.");
  auto payload = info[1].As<Napi::Uint8Array>();
  const std::vector<int> descriptors = read_descriptors(info[2]);
  std::string error;
  if (!send_datagram(info[0].As<Napi::String>(), {payload.Data(), payload.ByteLength()}, descriptors, error))
    fail(info.Env(), "datagram-failed", error);
}

// openInbox(path)
Napi::Value inbox(const Napi::CallbackInfo& info) {
  std::string error;
  const int fd = open_inbox(info[0].ToString(), error);
  if (fd < 0) fail(info.Env(), "inbox-failed", error);
  return Napi::Number::New(info.Env(), fd);
}

// receiveDatagram(inbox, milliseconds)
Napi::Value receive(const Napi::CallbackInfo& info) {
  std::string error;
  auto datagram = receive_datagram(info[0].ToNumber().Int32Value(), info[1].ToNumber().Int32Value(), error);
  if (!datagram) fail(info.Env(), "datagram-failed", error);
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("payload", Napi::Buffer<uint8_t>::Copy(info.Env(), datagram->payload.data(), datagram->payload.size()));
  out.Set("descriptors", write_descriptors(info.Env(), datagram->descriptors));
  return out;
}

// socketPair()
Napi::Value socket_pair(const Napi::CallbackInfo& info) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    fail(info.Env(), "socket-failed", std::string("no pair of sockets: ") + strerror(errno));
  return write_descriptors(info.Env(), {pair[0], pair[1]});
}

// closeDescriptor(descriptor)
void close_descriptor(const Napi::CallbackInfo& info) {
  close(info[0].ToNumber().Int32Value());
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* constructor = new Napi::FunctionReference(Napi::Persistent(EngineObject::define(env)));
  env.SetInstanceData(constructor);
  exports.Set("createEngine", Napi::Function::New(env, [](const Napi::CallbackInfo& info) -> Napi::Value {
                return info.Env().GetInstanceData<Napi::FunctionReference>()->New({object_argument(info, 0)});
              }));
  Napi::Array reasons = Napi::Array::New(env);
  for (size_t r = 1; r < kReasons; ++r) {
    Napi::Object one = Napi::Object::New(env);
    one.Set("name", kReasonTexts[r].name);
    one.Set("text", kReasonTexts[r].text);
    reasons.Set(reasons.Length(), one);
  }
  exports.Set("reasons", reasons);
  Napi::Object layouts = Napi::Object::New(env);
  for (const auto& [name, layout] : layouts_of_parts()) layouts.Set(name, layout);
  exports.Set("layouts", layouts);
  Napi::Array former = Napi::Array::New(env);
  for (const RecordLayout& layout : former_layouts()) former.Set(former.Length(), layout.number);
  exports.Set("formerLayouts", former);
  exports.Set("compileFilter", Napi::Function::New(env, compile_filter));
  exports.Set("sendDatagram", Napi::Function::New(env, send));
  exports.Set("openInbox", Napi::Function::New(env, inbox));
  exports.Set("receiveDatagram", Napi::Function::New(env, receive));
  exports.Set("socketPair", Napi::Function::New(env, socket_pair));
  exports.Set("closeDescriptor", Napi::Function::New(env, close_descriptor));
  return exports;
}

}  // namespace

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  return init(env, exports);
}

}  // namespace headgate

static Napi::Object initialise_addon(Napi::Env env, Napi::Object exports) {
#if defined(__x86_64__)
  // What the packet path is compiled for (binding.gyp): better no engine than one that dies at its first frame.
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("popcnt"))
    throw Napi::Error::New(env, "This processor lacks SSE 4.2 or POPCNT, which Headgate needs (x86-64-v2, from 2009).");
#endif
  return headgate::initialise(env, exports);
}

NODE_API_MODULE(headgate, initialise_addon)
