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

export const PROTOCOL_VERSION = 4;
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
});

/** A logical switch. */
export const segmentSchema = z.strictObject({
  name,
  digest,
  /** Outer and, for QinQ, inner VLAN id that the segment's frames carry on a nic port. */
  vlan: z.int().min(1).max(4094).optional(),
  innerVlan: z.int().min(1).max(4094).optional(),
  /** Name of the connection tracker; segments that name the same one share their connections. */
  tracker: name,
});

const mac = z.string().regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);

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
]);

/** What one workload may begin; each absent one is as the next wider setting has it: workload, host, engine. */
export const limitsSchema = z.strictObject({
  /** Connections that are open at once. */
  connections: z.int().min(1).max(100_000_000).optional(),
  /** Of these, not answered yet. */
  halfOpen: z.int().min(1).max(100_000_000).optional(),
  newPerSecond: z.int().min(1).max(100_000_000).optional(),
});

/** A workload: its port, and what it may send as. */
export const workloadSchema = z.strictObject({
  name,
  digest,
  segment: name,
  attach: attachSchema,
  /** The only MAC it may use, pinned in its segment; absent: learned. */
  mac: mac.optional(),
  /** The only addresses it may use (IPv4, IPv6, ranges); absent: any. */
  addresses: z.array(addressRange).max(4096).optional(),
  limits: limitsSchema.optional(),
});

/** A named set of workloads that index entries apply to. */
export const scopeSchema = z.strictObject({ name, digest, workloads: names });
export const scopeEditSchema = z.strictObject({ name, digest, add: names, remove: names });

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
  category: z.int().min(0).max(3),
  /** Lower is judged first; no two entries of a category have the same. */
  order: z
    .int()
    .min(0)
    .max(ORDER_LIMIT - 1),
  direction: z.enum(['in', 'out', 'both']),
  scope: name,
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

/**
 * A change of policy, refused whole or applied whole. Things in `set*` are added or replaced, those in `edit*` are
 * held and change in part, those in `remove*` are taken away; what is not named stays. What stays may not refer to
 * what goes: a workload that is removed leaves its scopes in the same delta.
 */
export const deltaSchema = z.strictObject({
  /** The generation that this was made against; the engine refuses with `stale` when it holds another. */
  base: z.int().min(0).optional(),
  defaultAction: z.enum(['allow', 'drop']).optional(),
  timeouts: timeoutsSchema.optional(),
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
  removeAddressSets: list(name),
  removeRules: list(digest),
  removeSegments: list(name),
  removeWorkloads: list(name),
  removeScopes: list(name),
  removeEntries: list(name),
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
  /** By id: digest, category, order. */
  entries: z.record(z.string(), z.tuple([z.string(), z.int(), z.int()])),
});

export const helloSchema = z.strictObject({
  protocol: z.int(),
  version: z.string(),
  pid: z.int(),
  generation: z.int(),
  /** Seconds since the engine started. */
  uptime: z.number(),
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
export type EngineWorkload = z.infer<typeof workloadSchema>;
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
