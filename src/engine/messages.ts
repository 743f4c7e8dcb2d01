// What control and engine say to each other: every message of their unix socket, declared once.
//
// Framing: a 4-byte big-endian length, then that many bytes of UTF-8 JSON (at most MAX_MESSAGE_BYTES).
// Control sends requests, the engine answers each with one reply that carries the request's id. The zod
// schemas below are used at both ends; the addon then checks types, bounds and references once more before
// anything reaches the packet path (native-bindings/tables/delta.h).
//
// Everything here is named by strings that stay the same across restarts. Slots, offsets and other positions
// are the engine's own and never cross this socket: so control may be restarted at any time, ask for the
// engine's inventory, and send only what differs.
import { z } from 'zod';
import { SERVICE_TEXT } from './service-text.js';
import { traceRequests } from './trace-messages.js';

export const PROTOCOL_VERSION = 5;
/** A first load of 1,000,000 rules fits; a string of JSON may be twice as long. */
export const MAX_MESSAGE_BYTES = 256 * 1024 * 1024;

const name = z.string().min(1).max(256);
/** An opaque content digest made by control and handed back in the inventory. */
const digest = z.string().min(1).max(64);

/** `10.0.0.0/8`, `10.0.0.7`, `10.0.0.1-10.0.0.9`, and the same for IPv6. */
const addressRange = z.string().min(2).max(96);

const ranges = z.array(addressRange).max(1_000_000);
const names = z.array(name).max(1_000_000);
/** A list of a delta. */
const list = <T extends z.ZodType>(element: T) => z.array(element).max(1_000_000).optional();

/** A named set of addresses: what a group, or an inline selection of a rule, resolves to. */
export const addressSetSchema = z.strictObject({ name, digest, ranges });

/** A change of a set that is held: first what `remove` covers goes, then `add` comes. */
export const addressSetEditSchema = z.strictObject({ name, digest, add: ranges, remove: ranges });

/** Applications whose connections announce others: FTP's of TCP, TFTP's of UDP. */
export const HELPERS = ['ftp', 'tftp'] as const;

/**
 * A shared rule. `key` is the digest of the whole content: two policies with the same content share one rule.
 * Priority, category, direction and applied-to are not here: they belong to the index entries that refer to it.
 */
export const ruleSchema = z.strictObject({
  key: digest,
  /** Names of address sets, any of which matches; absent: any address. */
  sources: z.array(name).max(4096).optional(),
  destinations: z.array(name).max(4096).optional(),
  /** Texts (service-text.ts), any of which matches; absent: any protocol. */
  services: z.array(z.string().regex(SERVICE_TEXT)).max(4096).optional(),
  action: z.enum(['allow', 'drop', 'reject', 'pass']),
  mode: z.enum(['enforce', 'observe']),
  log: z.boolean(),
  onChange: z.enum(['reevaluate', 'keep', 'reset']),
  /** Whose data connections are let through beside the connections that the rule allows. */
  helper: z.enum(HELPERS).optional(),
});

const vlan = z.int().min(1).max(4094).optional();

/** One of the logical switches that an edge pair joins: the VLAN ids of its frames on either side. */
const bridgeSchema = z.strictObject({
  southVlan: vlan,
  southInnerVlan: vlan,
  northVlan: vlan,
  northInnerVlan: vlan,
  tracker: name,
  /** The workload without a segment that judges what crosses. */
  judge: name,
});

/** A logical switch; or, with bridges, an edge pair. */
export const segmentSchema = z.strictObject({
  name,
  digest,
  /** Outer and, for QinQ, inner VLAN id that the segment's frames carry on a nic port. */
  vlan,
  innerVlan: vlan,
  /** Name of the connection tracker; segments that name the same one share their connections. Not of an edge pair. */
  tracker: name.optional(),
  bridges: z.array(bridgeSchema).min(1).max(65_536).optional(),
});

const mac = z.string().regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);

const hex = z.string().regex(/^([0-9a-f]{2})*$/);

/**
 * The far side of a segment, behind one remote of a tunnel: a workload to the engine, without rules of its own. All of
 * one tunnel share its socket, under the name in `device`.
 */
const tunnelSchema = z.strictObject({
  kind: z.literal('tunnel'),
  device: name,
  encapsulation: z.enum(['vxlan', 'geneve', 'gre', 'nvgre', 'nsh', 'nsh-ethernet']),
  /** Outer source address; over Ethernet absent. */
  local: z.string().max(64).optional(),
  /** UDP port, where it is not the encapsulation's own. */
  port: z.int().min(1).max(65535).optional(),
  /** Where the underlay is: a name below /run/netns or an absolute path, and an interface. */
  netns: z.string().min(1).max(1024).optional(),
  interface: z.string().min(1).max(15).optional(),
  /** Bytes of an outer packet; absent: the path MTU as the kernel knows it. */
  mtu: z.int().min(576).max(65535).optional(),
  /** Geneve options, NSH context: as on the wire. */
  metadata: hex.max(504).optional(),
  metadataType: z.int().min(1).max(2).optional(),
  /** Outer destination; over Ethernet the link-local address made of the MAC. */
  remote: z.string().max(64),
  /** VNI, GRE key, NSH path id and service index: of the segment. */
  key: z.int().min(0).max(0xffff_ffff),
  /** What is too long goes in fragments of the outer packet; else its sender is told. */
  fragment: z.boolean(),
});

/** What a workload is attached by. `netns` is a name below /run/netns or an absolute path. */
export const attachSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('tap'),
    netns: z.string().min(1).max(1024).optional(),
    device: z.string().min(1).max(15),
    mac,
    /** `10.0.1.2/24`: put on the device inside the namespace. */
    addresses: z.array(z.string().max(64)).max(64),
    /** Default routes set inside the namespace: at most one IPv4 and one IPv6. */
    gateways: z.array(z.string().max(64)).max(2),
    mtu: z.int().min(576).max(65535).optional(),
  }),
  z.strictObject({ kind: z.literal('veth'), device: z.string().min(1).max(15) }),
  z.strictObject({ kind: z.literal('nic'), device: z.string().min(1).max(15) }),
  tunnelSchema,
]);

/** What one workload may begin; each absent one is as the next wider setting has it: workload, host, engine. */
export const limitsSchema = z.strictObject({
  /** Connections that are open at once. */
  connections: z.int().min(1).max(100_000_000).optional(),
  /** Of these, not answered yet. */
  halfOpen: z.int().min(1).max(100_000_000).optional(),
  newPerSecond: z.int().min(1).max(100_000_000).optional(),
});

/**
 * Who has rules or a port of its own: a workload, with its port and what it may send as; an interface of an edge pair,
 * with its side; a tracker, without segment and port, which judges what crosses edge pairs.
 */
export const workloadSchema = z.strictObject({
  name,
  digest,
  segment: name.optional(),
  side: z.enum(['south', 'north']).optional(),
  attach: attachSchema.optional(),
  /** The only MAC it may use, pinned in its segment; absent: learned. */
  mac: mac.optional(),
  /** The only addresses it may use (IPv4, IPv6, ranges); absent: any. */
  addresses: z.array(addressRange).max(4096).optional(),
  limits: limitsSchema.optional(),
});

/** A named set of workloads that index entries apply to. */
export const scopeSchema = z.strictObject({ name, digest, workloads: names });
export const scopeEditSchema = z.strictObject({ name, digest, add: names, remove: names });

/** The category of entries that choose service tags, behind those of rules. */
export const INSERTIONS = 4;

/** Orders are below this: an engine makes one number of category and order. */
export const ORDER_LIMIT = 2 ** 50;

/**
 * A rule at its place in the order, for the workloads of a scope: these entries are a workload's index table.
 * `id` is that of the document's rule, `policy/rule`; hits are counted under it, however the entry is changed.
 */
export const indexEntrySchema = z.strictObject({
  id: name,
  /** Of everything but `order`. */
  digest,
  rule: digest,
  category: z.int().min(0).max(INSERTIONS),
  /** Lower is judged first; no two entries of a category have the same. */
  order: z
    .int()
    .min(0)
    .max(ORDER_LIMIT - 1),
  direction: z.enum(['in', 'out', 'both']),
  scope: name,
  /** How connections are followed that it decides over; absent: as the host has it. */
  profile: name.optional(),
  /** Of an insertion: the service tag that a flow gets which this entry is the first to match. */
  tag: name.optional(),
});

/** A portal at a hop, and the key that frames have there; 0 is none. */
const legSchema = z.strictObject({ portal: name, key: z.int().min(1).max(0xffff_ffff) });

/** A portal of services: a workload without rules, from which frames come back by their keys. */
export const portalSchema = z.strictObject({
  name,
  digest,
  workload: name,
  /** Its keys are NSH's: a path, and an index that services count down. */
  nsh: z.boolean(),
  /** What comes back without a key is told by its connection. */
  byRecord: z.boolean(),
  health: z
    .strictObject({
      kind: z.enum(['icmp', 'tcp', 'http']),
      address: z.string().max(64),
      source: z.string().max(64),
      /** That it asks from. */
      mac,
      port: z.int().min(1).max(65535).optional(),
      path: z.string().max(256).optional(),
      /** Absent: as the workload's frames go. */
      key: z.int().min(1).max(0xffff_ffff).optional(),
      /** Milliseconds. */
      interval: z.int().min(10).max(60_000),
      failures: z.int().min(1).max(100),
    })
    .optional(),
});

/** A service tag: where a flow's frames go, hop by hop. Either rules choose it, or frames come in at `entry`. */
export const serviceTagSchema = z.strictObject({
  name,
  digest,
  /** Of the client, where it is attached. */
  segment: name.optional(),
  /** On a gateway: where frames come in and go back, and in which tracker their connections are. */
  entry: legSchema.optional(),
  tracker: name.optional(),
  hops: z
    .array(z.strictObject({ open: z.boolean(), legs: z.array(legSchema).min(1).max(8) }))
    .min(1)
    .max(8),
});

/** Seconds; each absent one keeps the engine's default (docs/architecture.md lists them). */
export const timeoutsSchema = z.strictObject({
  tcpOpening: z.int().min(1).max(86400).optional(),
  tcpEstablished: z.int().min(1).max(864000).optional(),
  tcpClosing: z.int().min(1).max(86400).optional(),
  udpOneWay: z.int().min(1).max(86400).optional(),
  udpTwoWay: z.int().min(1).max(86400).optional(),
  icmp: z.int().min(1).max(86400).optional(),
  other: z.int().min(1).max(86400).optional(),
  denied: z.int().min(1).max(86400).optional(),
});

/** What may begin a connection of TCP or SCTP, and how closely it is followed (docs/decisions/tcp-state.md). */
export const TRACKING_MODES = ['strict', 'pickup', 'liberal'] as const;
export const trackingSchema = z.enum(TRACKING_MODES);

/** Profiles beside the host's; each absent value is as the host has it. */
export const MOST_PROFILES = 15;
export const profileSchema = z.strictObject({
  name,
  tracking: trackingSchema.optional(),
  timeouts: timeoutsSchema.optional(),
});

/**
 * A change of policy, refused whole or applied whole. Things in `set*` are added or replaced, those in `edit*` are
 * held and change in part, those in `remove*` are taken away; what is not named stays. What stays may not refer to
 * what goes: a workload that is removed leaves its scopes in the same delta.
 */
export const deltaSchema = z.strictObject({
  /** The generation that this was made against; the engine refuses with `stale` when it holds another. */
  base: z.int().min(0).optional(),
  defaultAction: z.enum(['allow', 'drop']).optional(),
  /** Absent ones are the engine's: pickup, and the defaults of timeouts. */
  tracking: trackingSchema.optional(),
  timeouts: timeoutsSchema.optional(),
  /** All there are from now on, beside the host's. */
  profiles: z.array(profileSchema).max(MOST_PROFILES).optional(),
  /** Of each workload that has none of its own. */
  limits: limitsSchema.optional(),
  setAddressSets: list(addressSetSchema),
  editAddressSets: list(addressSetEditSchema),
  setRules: list(ruleSchema),
  setSegments: list(segmentSchema),
  setWorkloads: list(workloadSchema),
  setScopes: list(scopeSchema),
  editScopes: list(scopeEditSchema),
  setEntries: list(indexEntrySchema),
  setPortals: list(portalSchema),
  setTags: list(serviceTagSchema),
  removeAddressSets: list(name),
  removeRules: list(digest),
  removeSegments: list(name),
  removeWorkloads: list(name),
  removeScopes: list(name),
  removeEntries: list(name),
  removePortals: list(name),
  removeTags: list(name),
});

/** What the engine holds: names and the digests that control gave them. */
export const inventorySchema = z.strictObject({
  generation: z.int(),
  /** Absent before the first publish. */
  defaultAction: z.enum(['allow', 'drop']).optional(),
  addressSets: z.record(z.string(), z.string()),
  rules: z.array(z.string()),
  segments: z.record(z.string(), z.string()),
  workloads: z.record(z.string(), z.string()),
  scopes: z.record(z.string(), z.string()),
  portals: z.record(z.string(), z.string()),
  tags: z.record(z.string(), z.string()),
  /** By id: digest, category, order. */
  entries: z.record(z.string(), z.tuple([z.string(), z.int(), z.int()])),
});

export const helloSchema = z.strictObject({
  protocol: z.int(),
  version: z.string(),
  pid: z.int(),
  generation: z.int(),
  /** Seconds for which its counters have counted: since the engine started, or the one that it follows. */
  uptime: z.number(),
  /** What it began with. */
  start: z.strictObject({
    /** How the engine before left its state; nothing: there was none. */
    left: z.enum(['nothing', 'in-order', 'in-disorder']),
    /** That were there, and records that made no sense after a crash. */
    connections: z.int(),
    forgotten: z.int(),
    /** State that was thrown away, and why: sentences. */
    alarms: z.array(z.string()),
  }),
});

export const attachmentSchema = z.strictObject({
  workload: z.string(),
  state: z.enum(['attached', 'waiting', 'failed']),
  /** Why it waits or failed, in words. */
  detail: z.string().optional(),
  mac: z.string().optional(),
});

/** A verdict as a record holds it; `rule` is the index entry's id, absent: the default action. */
export const verdictSchema = z.strictObject({
  workload: z.string(),
  direction: z.enum(['in', 'out']),
  action: z.enum(['allow', 'drop', 'reject']),
  rule: z.string().optional(),
});

/** Who speaks to whom, and what was said of it. */
const connectionFields = {
  tracker: z.string(),
  protocol: z.int(),
  source: z.string(),
  sourcePort: z.int(),
  destination: z.string(),
  destinationPort: z.int(),
  /** Of the first frame; ICMP only. */
  icmpType: z.int().optional(),
  icmpCode: z.int().optional(),
  state: z.string(),
  verdicts: z.array(verdictSchema).max(2),
  packets: z.tuple([z.number(), z.number()]),
  bytes: z.tuple([z.number(), z.number()]),
};

export const flowSchema = z.strictObject({
  ...connectionFields,
  /** Its service tag, and the portals that its frames go through now, in order. */
  service: z.strictObject({ tag: z.string(), portals: z.array(z.string()) }).optional(),
  /** Seconds since it began, since the last frame, and until it times out. */
  age: z.number(),
  idle: z.number(),
  expires: z.number(),
});

export const FLOW_END_REASONS = [
  'idle-timeout',
  'active-timeout',
  'end-of-flow',
  'forced-end',
  'no-room',
] as const;

/**
 * A connection that has ended or, with the reason `active-timeout`, a part of one that lasts. Packets and bytes are those
 * since the record before. A rule that is gone by now is called `removed`; a workload that is gone has no name.
 */
export const flowRecordSchema = z.strictObject({
  ...connectionFields,
  /** Milliseconds since the epoch: when it began, or the record before was made, and its last frame. */
  start: z.number(),
  end: z.number(),
  reason: z.enum(FLOW_END_REASONS),
});

export const portalHealthSchema = z.strictObject({
  portal: z.string(),
  state: z.enum(['up', 'down', 'detached', 'unchecked']),
  /** Of one that is down: what the last probe met. */
  fault: z.string().optional(),
  probes: z.number(),
  failures: z.number(),
  /** Times that it went down or came up, and seconds since the last. */
  changes: z.number(),
  since: z.number().optional(),
});

/** By service tag, hop (from 1; 0: where a gateway's clients are) and portal. Pairs: from the initiator, from the responder. */
export const legCountersSchema = z.strictObject({
  tag: z.string(),
  hop: z.int(),
  portal: z.string(),
  key: z.int(),
  sentPackets: z.tuple([z.number(), z.number()]),
  sentBytes: z.tuple([z.number(), z.number()]),
  returnedPackets: z.tuple([z.number(), z.number()]),
  returnedBytes: z.tuple([z.number(), z.number()]),
  /** While no portal of the hop worked: frames that went on without it, and that were dropped. */
  bypassedPackets: z.number(),
  refusedPackets: z.number(),
});

export const statsSchema = z.strictObject({
  generation: z.int(),
  connections: z.int(),
  connectionsLimit: z.int(),
  /** Drops by reason and direction; reasons with a count of zero are listed too. */
  drops: z.array(
    z.strictObject({
      reason: z.string(),
      text: z.string(),
      direction: z.enum(['in', 'out']),
      packets: z.number(),
    }),
  ),
  workloads: z.array(
    z.strictObject({
      workload: z.string(),
      /** Frames the workload sent and was sent. A super-frame counts as the segments it carries. */
      sentPackets: z.number(),
      sentBytes: z.number(),
      receivedPackets: z.number(),
      receivedBytes: z.number(),
      drops: z.record(z.string(), z.number()),
      /** Connections that it began: open ones, of these the unanswered, and all since it came. */
      connections: z.int(),
      halfOpen: z.int(),
      begun: z.number(),
      limits: limitsSchema.required(),
    }),
  ),
  /** Hits by (index entry, workload, direction); `rule` is the entry's id, absent: the default action. */
  hits: z.array(
    z.strictObject({
      rule: z.string().optional(),
      workload: z.string(),
      direction: z.enum(['in', 'out']),
      flows: z.number(),
      packets: z.number(),
      bytes: z.number(),
      /** Seconds since the last frame. */
      idle: z.number(),
    }),
  ),
  workers: z.array(z.strictObject({ batches: z.number(), frames: z.number() })),
  portals: z.array(portalHealthSchema),
  legs: z.array(legCountersSchema),
});

export const logEventSchema = z.strictObject({
  /** Milliseconds since the epoch. */
  time: z.number(),
  /** The id of the index entry. */
  rule: z.string().optional(),
  workload: z.string(),
  direction: z.enum(['in', 'out']),
  action: z.enum(['allow', 'drop', 'reject', 'pass']),
  mode: z.enum(['enforce', 'observe']),
  protocol: z.int(),
  source: z.string(),
  sourcePort: z.int(),
  destination: z.string(),
  destinationPort: z.int(),
  /** Lines of this rule at this workload that the rate limit swallowed before this one. */
  suppressed: z.int(),
});

/** Every request with its result. The engine refuses a type that is not listed. */
export const requests = {
  hello: { params: z.strictObject({ protocol: z.int() }), result: helloSchema },
  inventory: { params: z.strictObject({}), result: inventorySchema },
  publish: {
    params: z.strictObject({ delta: deltaSchema }),
    result: z.strictObject({ generation: z.int(), milliseconds: z.number() }),
  },
  attachments: { params: z.strictObject({}), result: z.array(attachmentSchema) },
  stats: { params: z.strictObject({}), result: statsSchema },
  flows: {
    params: z.strictObject({ limit: z.int().min(1).max(100_000), denied: z.boolean().optional() }),
    result: z.strictObject({ flows: z.array(flowSchema), total: z.int() }),
  },
  /** Takes the log lines that gathered since the last call. */
  logs: { params: z.strictObject({}), result: z.array(logEventSchema) },
  /**
   * Takes the records of connections that gathered since the last call. The first call begins them; they end when nobody
   * has asked for a minute. A connection that lasts is reported each `activeTimeout` seconds. `lost` found no room.
   */
  flowLog: {
    params: z.strictObject({ activeTimeout: z.int().min(1).max(86_400) }),
    result: z.strictObject({ records: z.array(flowRecordSchema), lost: z.int() }),
  },
  ...traceRequests,
} as const;

export type RequestType = keyof typeof requests;
export type Params<T extends RequestType> = z.infer<(typeof requests)[T]['params']>;
export type Result<T extends RequestType> = z.infer<(typeof requests)[T]['result']>;

export const requestSchema = z.strictObject({ id: z.int().min(0), type: z.string(), params: z.unknown() });
export const replySchema = z.strictObject({
  id: z.int(),
  result: z.unknown().optional(),
  /** What went wrong, where, and how to mend it. */
  error: z
    .strictObject({
      code: z.string(),
      message: z.string(),
      remedy: z.string().optional(),
      details: z.array(z.string()).optional(),
    })
    .optional(),
});

export type Delta = z.infer<typeof deltaSchema>;
export type Inventory = z.infer<typeof inventorySchema>;
export type AddressSet = z.infer<typeof addressSetSchema>;
export type SharedRule = z.infer<typeof ruleSchema>;
export type EngineSegment = z.infer<typeof segmentSchema>;
export type EngineProfile = z.infer<typeof profileSchema>;
export type EngineWorkload = z.infer<typeof workloadSchema>;
export type EnginePortal = z.infer<typeof portalSchema>;
export type EngineServiceTag = z.infer<typeof serviceTagSchema>;
export type Scope = z.infer<typeof scopeSchema>;
export type IndexEntry = z.infer<typeof indexEntrySchema>;
export type Attach = z.infer<typeof attachSchema>;
export type Attachment = z.infer<typeof attachmentSchema>;
export type Flow = z.infer<typeof flowSchema>;
export type FlowRecord = z.infer<typeof flowRecordSchema>;
export type Verdict = z.infer<typeof verdictSchema>;
export type Stats = z.infer<typeof statsSchema>;
export type LogEvent = z.infer<typeof logEventSchema>;
export type Hello = z.infer<typeof helloSchema>;
