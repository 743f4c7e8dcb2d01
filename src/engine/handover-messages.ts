// What an engine, the one that follows it and `headgate upgrade` say to each other, on `handover.sock` in the folder of
// the pools, which root alone may enter.
//
//   upgrade, rollback     from the command: who is to follow; answered when it is done or has failed
//   begin                 from the follower: what it needs to be like the one in charge
//   ports                 the ports' descriptors are wanted at an inbox
//   commit                everything is there: let go of the pools (pipeline/handover.h)
//   serving               it runs and listens: the one before may close its socket
//   failed                it cannot follow, and why
//   take                  to the one that stands by: follow the one in charge
import { z } from 'zod';
import { attachSchema, deltaSchema } from './messages.js';

export const HANDOVER_VERSION = 1;

const path = z.string().min(1).max(4096);

export const upgradeSchema = z.strictObject({
  /** What is started: node, and the compiled src/cli/main.ts of the version that is to follow. */
  node: path,
  program: path,
});

/** What became of an upgrade. */
export const outcomeSchema = z.strictObject({
  /** Of the engine that is in charge now, and of the one before, which stands by. */
  pid: z.int(),
  version: z.string(),
  before: z.strictObject({ pid: z.int(), version: z.string() }),
  /**
   * Microseconds that packets waited. Of these: until the engine before had let go, and from when its follower heard of
   * that until it ran; the rest is what the system took to wake the follower.
   */
  pauseMicroseconds: z.number(),
  stopMicroseconds: z.number(),
  startMicroseconds: z.number(),
  /** Milliseconds that the follower needed before, while packets went on. */
  prepareMilliseconds: z.number(),
  connections: z.int(),
  /** Records that were converted to another layout. */
  converted: z.int(),
});

export const beginSchema = z.strictObject({
  handover: z.int(),
  version: z.string(),
  pid: z.int(),
  /** The layout of each part of the state, and of connections those that it converts beside its own. */
  layouts: z.record(z.string(), z.int()),
  formerLayouts: z.array(z.int()),
});

/** An attachment, as the engine before had it. */
export const heldAttachmentSchema = z.strictObject({
  workload: z.string(),
  segment: z.string(),
  attach: attachSchema,
  state: z.enum(['attached', 'waiting', 'failed']),
  detail: z.string().optional(),
  mac: z.string().optional(),
  namespace: z.string().optional(),
});

export const legacySchema = z.strictObject({
  handover: z.int(),
  version: z.string(),
  pid: z.int(),
  workers: z.int(),
  connections: z.int(),
  /** Seconds for which counters have counted. */
  uptime: z.number(),
  /** Records that the one in charge has converted for the follower. */
  converted: z.int(),
  /** Absent: it holds no policy yet. */
  policy: z
    .strictObject({
      delta: deltaSchema,
      numbering: z.strictObject({ number: z.int(), epochs: z.record(z.string(), z.int()) }),
    })
    .optional(),
  attachments: z.array(heldAttachmentSchema),
});

export const portsSchema = z.strictObject({ inbox: path });
export const failedSchema = z.strictObject({ reason: z.string() });
export const takenSchema = z.strictObject({
  pauseMicroseconds: z.number(),
  stopMicroseconds: z.number(),
  startMicroseconds: z.number(),
  prepareMilliseconds: z.number(),
  connections: z.int(),
  converted: z.int(),
});

export type Outcome = z.infer<typeof outcomeSchema>;
export type HeldAttachment = z.infer<typeof heldAttachmentSchema>;
export type Begin = z.infer<typeof beginSchema>;
export type Legacy = z.infer<typeof legacySchema>;
export type Taken = z.infer<typeof takenSchema>;
