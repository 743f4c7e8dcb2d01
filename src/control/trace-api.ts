// What the paths below /v1/trace take and give.
import { z } from 'zod';
import { LONGEST_FRAME } from '../engine/trace-messages.js';
import { traceAnswerSchema } from '../trace/answer.js';
import { packetSchema } from '../trace/packet.js';

/** Most packets of one simulation. */
export const MOST_PACKETS = 1000;
/** Enough for the headers; what a drop is told by is in them. */
const HEADER_BYTES = 128;

/** POST /v1/trace/simulate. */
export const simulateBody = z.strictObject({ packets: z.array(packetSchema).min(1).max(MOST_PACKETS) });

/** POST /v1/trace/inject. */
export const injectBody = z.strictObject({
  packet: packetSchema,
  /** Seconds to wait for an answer. */
  wait: z.number().min(0).max(60).default(3),
});

/** POST /v1/trace/live. */
export const liveBody = z.strictObject({
  /** As of pcap-filter(7), over frames as they come in; absent: every frame. */
  filter: z.string().min(1).max(4096).optional(),
  /** Sent by it or for it. */
  workload: z.string().min(1).max(256).optional(),
  /** A rule that decided, or `default`. */
  rule: z.string().min(1).max(256).optional(),
  dropped: z.boolean().default(false),
  /** How many bytes of each frame are wanted. */
  bytes: z.int().min(0).max(LONGEST_FRAME).default(HEADER_BYTES),
});

export const simulateResult = z.strictObject({
  traces: z.array(traceAnswerSchema),
  /** What is noteworthy beside them. */
  notes: z.array(z.string()),
});

export const injectResult = z.strictObject({ trace: traceAnswerSchema, notes: z.array(z.string()) });

export const liveResult = z.strictObject({ id: z.int() });

/** GET /v1/trace/live/:id. */
export const takenResult = z.strictObject({
  traces: z.array(traceAnswerSchema),
  /** Packets that fitted and for which there was no room, since the last time. */
  lost: z.number(),
});

export const endedResult = z.strictObject({});

export type SimulateBody = z.input<typeof simulateBody>;
export type InjectBody = z.input<typeof injectBody>;
export type LiveBody = z.input<typeof liveBody>;
export type SimulateResult = z.infer<typeof simulateResult>;
export type InjectResult = z.infer<typeof injectResult>;
export type LiveResult = z.infer<typeof liveResult>;
export type TakenResult = z.infer<typeof takenResult>;
