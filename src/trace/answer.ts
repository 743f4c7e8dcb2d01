// What is said of a traced frame: the engine's report, told step by step with what the policy says of it. The same for
// `trace --simulate`, `--live` and `--inject`.
import { z } from 'zod';
import { traceSchema } from '../engine/trace-messages.js';

/** In the order in which a frame meets them. `steer` and `advance` are told only where they drop. */
export const STAGES = [
  'port',
  'parse',
  'guard',
  'locate',
  'fragments',
  'steer',
  'track',
  'classify',
  'advance',
  'services',
  'forward',
  'transmit',
] as const;

const reference = z.strictObject({
  id: z.string(),
  file: z.string(),
  line: z.int(),
  action: z.enum(['allow', 'drop', 'reject', 'pass']),
  mode: z.enum(['enforce', 'observe']),
});

const direction = z.enum(['in', 'out']);
const FIELDS = ['appliedTo', 'direction', 'from', 'to', 'services', 'mode', 'pass', 'shadowed'] as const;

/** What was decided at one workload, and why. */
export const tracedVerdictSchema = z.strictObject({
  action: z.enum(['allow', 'drop', 'reject']),
  /** Absent: the default action. */
  rule: reference.optional(),
  /** Where the default is set. */
  section: z
    .strictObject({ text: z.string(), file: z.string().optional(), line: z.int().optional() })
    .optional(),
  /** Reached for this frame; else for an earlier one of its connection. */
  isNew: z.boolean(),
  /** The policy in force decides otherwise: the verdict was reached before it, and kept. */
  isKept: z.boolean().optional(),
  /** Where it was not allowed: the rule that came nearest to deciding otherwise, and what kept it from it. */
  nearest: z.strictObject({ rule: reference, field: z.enum(FIELDS), reason: z.string() }).optional(),
  /** Matching rules that only observe. */
  observed: z.array(reference),
  /** Matching rules that passed it on to the next category. */
  passed: z.array(reference),
});

export const stepSchema = z.strictObject({
  stage: z.enum(STAGES),
  /** `answer`: what was refused was answered; `skip`: the stage has nothing to do with such a frame. */
  outcome: z.enum(['ok', 'drop', 'answer', 'skip']),
  text: z.string(),
  /** More lines. */
  details: z.array(z.string()).optional(),
  workload: z.string().optional(),
  direction: direction.optional(),
  /** The drop reason. */
  reason: z.string().optional(),
  verdict: tracedVerdictSchema.optional(),
});

export const traceAnswerSchema = z.strictObject({
  /** Milliseconds since the epoch. */
  time: z.number(),
  /** In a line: `tcp 10.0.1.2:40000 > 10.0.2.2:5432 [S]`. */
  packet: z.string(),
  outcome: z.enum(['delivered', 'dropped', 'rejected', 'unknown']),
  /** In a line: `delivered to db-1 (eth0)`. */
  summary: z.string(),
  /** In a line, what was decided where: `allow web-1 out shop/web -> drop db-1 in default`. */
  verdict: z.string(),
  /** How to mend it. */
  hint: z.string().optional(),
  /** The metrics that count its drops. */
  metrics: z.array(z.string()),
  /** Absent where they were not asked for. */
  steps: z.array(stepSchema).optional(),
  /** Of `--inject`: what the destination answered. */
  reply: z
    .strictObject({
      /** Stands in the payload of the injected frame; absent: it has no payload. */
      mark: z.string().optional(),
      answered: z.boolean(),
      text: z.string(),
      packets: z.array(
        z.strictObject({
          packet: z.string(),
          summary: z.string(),
          verdict: z.string(),
          milliseconds: z.number(),
        }),
      ),
    })
    .optional(),
  trace: traceSchema,
});

export type Stage = (typeof STAGES)[number];
export type TracedVerdict = z.infer<typeof tracedVerdictSchema>;
export type Step = z.infer<typeof stepSchema>;
export type TraceAnswer = z.infer<typeof traceAnswerSchema>;
