// Schemas of what the HTTP API gives, for its OpenAPI document. The types are those of api.ts: a schema that one of them
// does not fit is not compiled, and tests hold every answer against them.
import { z } from 'zod';
import { KINDS } from '../documents/types.js';
import {
  attachmentSchema,
  flowSchema,
  helloSchema,
  legCountersSchema,
  portalHealthSchema,
  statsSchema,
  verdictSchema,
} from '../engine/messages.js';
import type { ErrorBody } from '../shared/errors.js';
import type { Revision } from '../store/store.js';
import type {
  ApplyResult,
  DocumentResult,
  EventsResult,
  ExplainResult,
  FlowsResult,
  ObservedResult,
  PlanReviewResult,
  PromotePlan,
  RevisionsResult,
  RuleResult,
  StatsResult,
  StatusResult,
  UnusedResult,
} from './api.js';
import type { Progress } from './progress.js';

/** A schema that every value of type T fits. */
const schemaOf =
  <T>() =>
  <S extends z.ZodType>(schema: T extends z.input<S> ? S : never): S =>
    schema;

const direction = z.enum(['in', 'out']);
const action = z.enum(['allow', 'drop', 'reject', 'pass']);
const mode = z.enum(['enforce', 'observe']);
const origin = z.strictObject({ file: z.string(), line: z.int(), rules: z.array(z.int()).optional() });
export const reference = z.strictObject({ id: z.string(), file: z.string(), line: z.int(), action, mode });

export const error = schemaOf<{ error: ErrorBody }>()(
  z.strictObject({
    error: z.strictObject({
      code: z.string(),
      message: z.string(),
      remedy: z.string().optional(),
      details: z.array(z.string()).optional(),
    }),
  }),
);

export const progress = schemaOf<Progress>()(
  z.strictObject({ step: z.enum(['read', 'check', 'publish', 'store']), done: z.number() }),
);

export const status = schemaOf<StatusResult>()(
  z.strictObject({
    version: z.string(),
    pid: z.int(),
    revision: z.int(),
    documents: z.int(),
    ready: z.boolean(),
    fault: z.string().optional(),
    refused: z.boolean().optional(),
    engine: helloSchema.optional(),
  }),
);

const planned = z.strictObject({
  changes: z.array(
    z.strictObject({
      change: z.enum(['added', 'changed', 'removed']),
      kind: z.enum(KINDS),
      name: z.string(),
      origin,
      fields: z.array(
        z.strictObject({ path: z.string(), before: z.unknown().optional(), after: z.unknown().optional() }),
      ),
    }),
  ),
  unchanged: z.int(),
  counts: z.strictObject({
    rulesAdded: z.int(),
    rulesChanged: z.int(),
    rulesRemoved: z.int(),
    workloadsTouched: z.int(),
    addressSetsTouched: z.int(),
  }),
  warnings: z.array(z.string()),
});

const ended = z.strictObject({
  flow: z.strictObject({
    protocol: z.int(),
    source: z.string(),
    sourcePort: z.int(),
    destination: z.string(),
    destinationPort: z.int(),
  }),
  at: z.strictObject({ workload: z.string(), direction, rule: z.string().optional() }).optional(),
  how: z.enum(['dropped', 'reset']),
});

const reviewed = planned.extend({
  quality: z
    .strictObject({
      findings: z.array(
        z.strictObject({
          kind: z.enum(['unreachable', 'redundant']),
          rule: reference,
          by: z.array(reference),
        }),
      ),
      lookedAt: z.int(),
      rules: z.int(),
    })
    .optional(),
  connections: z
    .strictObject({
      total: z.int(),
      lookedAt: z.int(),
      dropped: z.int(),
      reset: z.int(),
      kept: z.int(),
      examples: z.array(ended),
    })
    .optional(),
});

export const plan = schemaOf<PlanReviewResult>()(reviewed);

export const apply = schemaOf<ApplyResult>()(
  planned.extend({ revision: z.int(), generation: z.int(), milliseconds: z.number() }),
);

/** Of an apply, or without a revision the plan. */
export const promote = schemaOf<ApplyResult | PromotePlan>()(
  z.union([apply, reviewed.extend({ revision: z.int() })]),
);

export const decision = z.strictObject({
  workload: z.string(),
  direction,
  action: z.enum(['allow', 'drop', 'reject']),
  rule: reference.optional(),
  section: z
    .strictObject({ text: z.string(), file: z.string().optional(), line: z.int().optional() })
    .optional(),
  nearestMiss: z
    .strictObject({
      rule: reference,
      field: z.enum(['appliedTo', 'direction', 'from', 'to', 'services', 'mode', 'pass', 'shadowed']),
      reason: z.string(),
    })
    .optional(),
  passed: z.array(reference),
  observed: z.array(reference),
});

export const explain = schemaOf<ExplainResult>()(
  z.strictObject({
    action: z.enum(['allow', 'drop', 'reject']),
    packet: z.strictObject({
      protocol: z.int(),
      source: z.string(),
      destination: z.string(),
      sourcePort: z.int().optional(),
      destinationPort: z.int().optional(),
      icmpType: z.int().optional(),
      icmpCode: z.int().optional(),
    }),
    decisions: z.array(decision),
    notes: z.array(z.string()),
  }),
);

export const documents = schemaOf<DocumentResult[]>()(
  z.array(
    z.strictObject({
      apiVersion: z.string(),
      kind: z.string(),
      metadata: z.strictObject({ name: z.string(), labels: z.record(z.string(), z.string()).optional() }),
      spec: z.record(z.string(), z.unknown()),
      status: attachmentSchema.omit({ workload: true }).optional(),
      health: portalHealthSchema.omit({ portal: true }).optional(),
      legs: z.array(legCountersSchema).optional(),
      origin: z.strictObject({ file: z.string(), line: z.int() }),
    }),
  ),
);

const rule = z.strictObject({
  id: z.string(),
  policy: z.string(),
  position: z.int(),
  category: z.string(),
  priority: z.int(),
  direction: z.string(),
  action: z.string(),
  mode: z.string(),
  log: z.boolean(),
  workloads: z.int(),
  hits: z.strictObject({ flows: z.number(), packets: z.number(), bytes: z.number() }).optional(),
  file: z.string(),
  line: z.int(),
});

/** All rules, or with `unused` those that nothing has hit. */
export const rules = schemaOf<RuleResult[] | UnusedResult>()(
  z.union([
    z.array(rule),
    z.strictObject({
      counted: z.number(),
      rules: z.array(rule.extend({ lastHit: z.number().optional(), isNew: z.boolean() })),
    }),
  ]),
);

const summary = z.strictObject({ number: z.int(), time: z.string(), cause: z.string(), documents: z.int() });

export const revisions = schemaOf<RevisionsResult>()(z.array(summary));
export const revision = schemaOf<Revision>()(summary.extend({ documents: z.array(z.unknown()) }));

const flow = flowSchema.extend({
  protocol: z.string(),
  verdicts: z.array(verdictSchema.extend({ action: z.string() })),
});

export const flows = schemaOf<FlowsResult>()(z.strictObject({ flows: z.array(flow), total: z.int() }));

const hit = z.strictObject({
  rule: z.string(),
  workload: z.string(),
  direction,
  flows: z.number(),
  packets: z.number(),
  bytes: z.number(),
});

export const stats = schemaOf<StatsResult>()(statsSchema.extend({ hits: z.array(hit) }));

export const observed = schemaOf<ObservedResult>()(
  z.strictObject({
    rules: z.int(),
    policies: z.array(z.string()),
    hits: z.array(hit.extend({ action: z.string(), file: z.string(), line: z.int() })),
  }),
);

export const events = schemaOf<EventsResult>()(
  z.strictObject({
    began: z.string(),
    events: z.array(
      z.strictObject({
        number: z.int(),
        time: z.string(),
        kind: z.enum(['control', 'engine', 'refused', 'revision', 'workload']),
        what: z.string(),
        workload: z.string().optional(),
        revision: z.int().optional(),
      }),
    ),
    missed: z.int(),
  }),
);
