// What the engine says of frames that it was asked to trace: one report a frame, the same whether the frame was
// simulated, sent for the purpose, or met on its way.
import { z } from 'zod';

const name = z.string().min(1).max(256);
const port = z.int().min(0).max(65535);
const octet = z.int().min(0).max(255);
const direction = z.enum(['in', 'out']);

/** Most bytes of one frame: a super-frame with two VLAN tags. */
export const LONGEST_FRAME = 65_536 + 14 + 8;
const frame = z.base64().max(Math.ceil(LONGEST_FRAME / 3) * 4);

/** A frame as a workload would send it. */
export const givenFrameSchema = z.strictObject({
  workload: name,
  /** From the destination MAC on, without FCS. */
  frame,
  /** Put in the MAC that the workload is known by: pinned, or the one it was last heard from. */
  ownMac: z.boolean().optional(),
  /** Put in the MAC of this workload as destination: pinned, or learned; an unknown one is flooded. */
  toMac: name.optional(),
});

/** A flow as its first frame had it. */
export const flowHeadersSchema = z.strictObject({
  protocol: octet,
  source: z.string(),
  sourcePort: port,
  destination: z.string(),
  destinationPort: port,
  icmpType: octet.optional(),
  icmpCode: octet.optional(),
});

export const traceSchema = z.strictObject({
  /** Milliseconds since the epoch. */
  time: z.number(),
  /** Where it came in; the workload is known from the guard stage on, where the port does not tell it. */
  device: z.string().optional(),
  workload: z.string().optional(),
  /** The last stage that it came to: a name of native-bindings/pipeline/pipeline.cc, or `transmit`. */
  stage: z.string(),
  /** Of the frame, in bytes; a super-frame stands for several packets. */
  length: z.int(),
  packets: z.int(),
  /** Its first bytes as it came, as many as were asked for. */
  frame,
  /** What the parse stage read; absent: it refused the frame. Ports of later fragments are those of their first. */
  headers: z
    .strictObject({
      sourceMac: z.string(),
      destinationMac: z.string(),
      /** Outer first. */
      vlans: z.array(z.int()).max(2),
      ethertype: z.int(),
      fragment: z.enum(['first', 'later']).optional(),
      tcpFlags: octet.optional(),
      /** IP and ARP. */
      flow: flowHeadersSchema.optional(),
    })
    .optional(),
  segment: z.string().optional(),
  /** The workload that has the destination MAC; absent with `flooded`: it went to many, or not so far. */
  destination: z.string().optional(),
  flooded: z.boolean().optional(),
  connection: z
    .strictObject({
      tracker: z.string(),
      /** This frame began it. */
      isNew: z.boolean(),
      /** It runs against the direction of the first frame. */
      reply: z.boolean(),
      /** Before the frame and after; the same where it was not let through. */
      before: z.string(),
      after: z.string(),
      flow: flowHeadersSchema,
    })
    .optional(),
  /** At the sender and then at each receiver, as far as it came. */
  /** Service portals that it was sent to, or has come from, in order; hop 0: the gateway's client side. */
  services: z
    .array(
      z.strictObject({
        tag: z.string(),
        hop: z.int(),
        portal: z.string(),
        key: z.int(),
        what: z.enum(['sent', 'returned']),
      }),
    )
    .optional(),
  verdicts: z.array(
    z.strictObject({
      workload: z.string(),
      direction,
      action: z.enum(['allow', 'drop', 'reject']),
      /** The id of the index entry; absent: the default action. */
      rule: z.string().optional(),
      /** Reached for this frame; else for an earlier one of the connection. */
      isNew: z.boolean(),
    }),
  ),
  /** What was queued for ports: the frame, or what answers it. */
  outputs: z.array(
    z.strictObject({
      workload: z.string(),
      device: z.string().optional(),
      what: z.enum(['frame', 'answer']),
    }),
  ),
  /** Why it did not go on, or not to this receiver. */
  drops: z.array(
    z.strictObject({
      reason: z.string(),
      text: z.string(),
      stage: z.string(),
      /** Of the workload that sent it (out) or was to get it (in). */
      direction,
      workload: z.string().optional(),
    }),
  ),
});

/** One instruction of a classic BPF program (bpf(4)), as libpcap compiles it. */
const instruction = z.tuple([z.int().min(0).max(0xffff), octet, octet, z.int().min(0).max(0xffff_ffff)]);

/** Which frames a live trace is about: all that is given has to fit. */
export const traceFilterSchema = z.strictObject({
  /** Over the frame as it came in; absent: every frame. */
  program: z.array(instruction).min(1).max(4096).optional(),
  /** Sent by it or for it. */
  workload: name.optional(),
  /** The id of an index entry that decided; `default`: the default action. */
  rule: name.optional(),
  /** Only those that were dropped somewhere. */
  dropped: z.boolean().optional(),
  /** How many bytes of each frame are wanted. */
  bytes: z.int().min(0).max(LONGEST_FRAME),
});

/** Requests and their results, part of what messages.ts lists. A live trace that nobody takes from for 10 s ends. */
export const traceRequests = {
  /** What the stages would do with these frames, one after the other; nothing is sent, counted or remembered. */
  simulate: {
    params: z.strictObject({ frames: z.array(givenFrameSchema).min(1).max(1000) }),
    result: z.strictObject({ traces: z.array(traceSchema) }),
  },
  /** Has the frame go through the stages as if its workload had sent it. */
  inject: { params: givenFrameSchema, result: z.strictObject({ trace: traceSchema }) },
  startTrace: {
    params: z.strictObject({ filter: traceFilterSchema }),
    result: z.strictObject({ trace: z.int() }),
  },
  /**
   * At most about `limit`, and 4 MiB of frames: ask again where there may be more. `lost`: frames since the last call that
   * fitted and for which there was no room.
   */
  takeTrace: {
    params: z.strictObject({ trace: z.int(), limit: z.int().min(1).max(100_000) }),
    result: z.strictObject({ traces: z.array(traceSchema), lost: z.number() }),
  },
  stopTrace: { params: z.strictObject({ trace: z.int() }), result: z.strictObject({}) },
} as const;

export type Trace = z.infer<typeof traceSchema>;
export type GivenFrame = z.infer<typeof givenFrameSchema>;
export type TraceFilter = z.infer<typeof traceFilterSchema>;
export type FlowHeaders = z.infer<typeof flowHeadersSchema>;
