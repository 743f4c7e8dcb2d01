// What the HTTP API takes and gives: bodies, results and paths. The command line is its first user.
import { z } from 'zod';
import type { DocumentChange, FlowAnswer, Plan } from '../policy/index.js';
import type { Attachment, Hello, Stats } from '../engine/messages.js';
import type { RevisionSummary } from '../store/store.js';
import type { Review } from './review.js';

const sources = z.array(z.strictObject({ file: z.string().min(1).max(4096), text: z.string() })).max(10_000);

/** POST /v1/apply. */
export const applyBody = z.strictObject({
  sources,
  /** Also remove every document that the sources do not name. */
  prune: z.boolean().default(false),
});

/** POST /v1/plan; `review`: say also what the rules are good for, and which connections would end. */
export const planBody = applyBody.extend({ review: z.boolean().default(false) });

/** POST /v1/rollback; `revision` absent: the one before the newest. */
export const rollbackBody = z.strictObject({ revision: z.int().min(1).optional() });

/** POST /v1/promote; without `revision` only the plan, whose revision is then to be given. */
export const promoteBody = z.strictObject({
  /** A policy, or policy/rule. */
  name: z.string().min(1).max(512),
  revision: z.int().min(0).optional(),
});

const port = z.int().min(0).max(65535);
const octet = z.int().min(0).max(255);

/** POST /v1/explain. */
export const explainBody = z.strictObject({
  from: z.string().min(1).max(256),
  to: z.string().min(1).max(256),
  protocol: octet,
  sourcePort: port.optional(),
  destinationPort: port.optional(),
  icmpType: octet.optional(),
  icmpCode: octet.optional(),
  family: z.union([z.literal(4), z.literal(6)]).optional(),
  /** Of the edge pair that the flow crosses on its way, and which way it crosses it; absent: `out`, from south to north. */
  tracker: z.string().min(1).max(256).optional(),
  crossing: z.enum(['in', 'out']).optional(),
});

export type ApplyBody = z.input<typeof applyBody>;
export type PlanBody = z.input<typeof planBody>;
export type RollbackBody = z.input<typeof rollbackBody>;
export type PromoteBody = z.input<typeof promoteBody>;
export type ExplainBody = z.input<typeof explainBody>;
export type ExplainResult = FlowAnswer;

export interface PlanResult {
  changes: DocumentChange[];
  unchanged: number;
  counts: Plan['counts'];
  warnings: string[];
}

/** What POST /v1/plan gives; without `review` in its body, or without an engine, parts are absent. */
export interface PlanReviewResult extends PlanResult, Partial<Review> {}

/** What POST /v1/promote gives without a revision. */
export interface PromotePlan extends PlanReviewResult {
  revision: number;
}

/** GET /v1/observed: what rules in observe mode matched since the engine started. */
export interface ObservedResult {
  /** How many rules observe, and the policies that they stand in. */
  rules: number;
  policies: string[];
  hits: (StatsResult['hits'][number] & { action: string; file: string; line: number })[];
}

export interface ApplyResult extends PlanResult {
  /** The newest revision; the old one when nothing changed. */
  revision: number;
  generation: number;
  /** What publishing to the engine took. */
  milliseconds: number;
}

export interface StatusResult {
  version: string;
  pid: number;
  /** The newest revision of the store; 0 when it is empty. */
  revision: number;
  documents: number;
  /** The engine is connected and enforces the newest revision. */
  ready: boolean;
  /** Why it does not. */
  fault?: string;
  /** The engine is there but does not take the policy: waiting will not help. */
  refused?: boolean;
  engine?: Hello;
}

export interface DocumentResult {
  apiVersion: string;
  kind: string;
  metadata: { name: string; labels?: Record<string, string> };
  spec: Record<string, unknown>;
  /** Workloads: how they are attached. Edge pairs: how the worse of their interfaces is. */
  status?: Omit<Attachment, 'workload'>;
  /** Service portals: what their health checks say. */
  health?: Omit<Stats['portals'][number], 'portal'>;
  /** Service portals and tags: what went there and came back, by tag and hop. */
  legs?: Stats['legs'];
  origin: { file: string; line: number };
}

export interface RuleResult {
  id: string;
  /** The section it stands in: policy, and its place among the rules there, from 1. */
  policy: string;
  position: number;
  category: string;
  priority: number;
  direction: string;
  action: string;
  mode: string;
  log: boolean;
  /** Workloads at which it stands in an index table. */
  workloads: number;
  /** New flows it decided, and packets and bytes of all flows under it; absent without an engine. */
  hits?: { flows: number; packets: number; bytes: number };
  file: string;
  line: number;
}

/** GET /v1/rules?unused=SECONDS. */
export interface UnusedResult {
  /** For how many of the seconds hits were counted: less than was asked for when the engine started later. */
  counted: number;
  rules: UnusedRule[];
}

export interface UnusedRule extends RuleResult {
  /** Seconds since its last hit; absent: never since counting began. */
  lastHit?: number;
  /** It came into force later, or came back, or the store does not reach back: its hits were counted for less long. */
  isNew: boolean;
}

export interface FlowResult {
  tracker: string;
  protocol: string;
  source: string;
  sourcePort: number;
  destination: string;
  destinationPort: number;
  state: string;
  /** At each end: what was decided there, and by which rule (absent: the default). */
  verdicts: { workload: string; direction: 'in' | 'out'; action: string; rule?: string }[];
  /** Its service tag, and the portals that its frames go through now. */
  service?: { tag: string; portals: string[] } | undefined;
  packets: [number, number];
  bytes: [number, number];
  age: number;
  idle: number;
  expires: number;
}

export interface FlowsResult {
  flows: FlowResult[];
  /** Connections in the engine, shown here or not. */
  total: number;
}

export interface StatsResult extends Omit<Stats, 'hits'> {
  hits: {
    rule: string;
    workload: string;
    direction: 'in' | 'out';
    flows: number;
    packets: number;
    bytes: number;
  }[];
}

export interface HappenedEvent {
  /** From 1 on, counted anew by each control. */
  number: number;
  time: string;
  kind: 'control' | 'engine' | 'refused' | 'revision' | 'workload';
  what: string;
  workload?: string;
  revision?: number;
}

/** GET /v1/events?after=NUMBER. */
export interface EventsResult {
  /** When this control began to count. */
  began: string;
  events: HappenedEvent[];
  /** Those after the number that are no longer kept. */
  missed: number;
}

export type RevisionsResult = RevisionSummary[];
