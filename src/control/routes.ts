// The paths of the HTTP API: what each takes and gives, and what it does. The server and the OpenAPI document are made
// from them.
import { z } from 'zod';
import { KINDS, type Kind } from '../documents/index.js';
import { evaluateFlow } from '../policy/index.js';
import { errorMessage, HeadgateError } from '../shared/errors.js';
import {
  applyBody,
  explainBody,
  planBody,
  promoteBody,
  rollbackBody,
  type ApplyResult,
  type PlanReviewResult,
  type PromotePlan,
} from './api.js';
import type { Control, Tell } from './control.js';
import { observed } from './observing.js';
import { openApi } from './openapi.js';
import * as results from './results.js';
import { review } from './review.js';
import * as traceApi from './trace-api.js';
import * as tracing from './tracing.js';
import { unusedRules } from './unused.js';
import * as views from './views.js';

interface Call {
  control: Control;
  /** What the path's `:names` stand for, in their order. */
  names: string[];
  query: URLSearchParams;
  body: unknown;
  tell: Tell | undefined;
}

export interface Route {
  method: 'GET' | 'POST' | 'DELETE';
  /** `:name` stands for one segment. */
  path: string;
  summary: string;
  query?: Record<string, string>;
  body?: z.ZodType;
  /** Of the answer; absent: any JSON. */
  result?: z.ZodType;
  /** Who takes `application/x-ndjson` is told where it is. */
  tells?: boolean;
  answer: (call: Call) => unknown;
}

export const ROUTES: Route[] = [
  {
    method: 'GET',
    path: '/v1/openapi.json',
    summary: 'This document',
    answer: ({ control }) => openApi(ROUTES, control.status().version),
  },
  {
    method: 'GET',
    path: '/v1/status',
    summary: 'What runs, and whether the engine enforces the newest revision',
    result: results.status,
    answer: ({ control }) => control.status(),
  },
  {
    method: 'POST',
    path: '/v1/plan',
    summary: 'What an apply would change',
    body: planBody,
    result: results.plan,
    answer: ({ control, body }) => planned(control, parse(planBody, body)),
  },
  {
    method: 'POST',
    path: '/v1/apply',
    summary: 'Put documents in force: all of them or, with any error, none',
    body: applyBody,
    result: results.apply,
    tells: true,
    answer: ({ control, body, tell }) => applied(control, parse(applyBody, body), tell),
  },
  {
    method: 'POST',
    path: '/v1/rollback',
    summary: 'Go back to what a revision held',
    body: rollbackBody,
    result: results.apply,
    answer: ({ control, body }) => control.rollback(parse(rollbackBody, body).revision),
  },
  {
    method: 'POST',
    path: '/v1/promote',
    summary: 'Let rules that observe enforce; without a revision: what that would change',
    body: promoteBody,
    result: results.promote,
    answer: ({ control, body }) => promote(control, parse(promoteBody, body)),
  },
  {
    method: 'GET',
    path: '/v1/observed',
    summary: 'What rules that observe matched, by workload',
    result: results.observed,
    answer: ({ control }) => observed(control),
  },
  {
    method: 'POST',
    path: '/v1/explain',
    summary: 'What the policy decides for a flow, and why',
    body: explainBody,
    result: results.explain,
    answer: ({ control, body }) => explained(control, parse(explainBody, body)),
  },
  {
    method: 'GET',
    path: '/v1/documents/:kind',
    summary: 'The documents of a kind',
    result: results.documents,
    answer: ({ control, names: [kind] }) => views.documents(control, kindOf(kind)),
  },
  {
    method: 'GET',
    path: '/v1/documents/:kind/:name',
    summary: 'One document, in a list',
    result: results.documents,
    answer: ({ control, names: [kind, name] }) => views.documents(control, kindOf(kind), name),
  },
  {
    method: 'DELETE',
    path: '/v1/documents/:kind/:name',
    summary: 'Remove one document from what is in force',
    result: results.apply,
    answer: ({ control, names: [kind, name] }) => control.delete(deletable(kindOf(kind)), name ?? ''),
  },
  {
    method: 'GET',
    path: '/v1/rules',
    summary: 'The rules in force, with their hits',
    query: { unused: 'only rules that nothing has hit for so many seconds' },
    result: results.rules,
    answer: ({ control, query }) => ruled(control, query),
  },
  {
    method: 'GET',
    path: '/v1/revisions',
    summary: 'The revisions of the store, newest first',
    result: results.revisions,
    answer: ({ control }) => control.revisions(),
  },
  {
    method: 'GET',
    path: '/v1/revisions/:number',
    summary: 'A revision with its documents',
    result: results.revision,
    answer: ({ control, names: [number] }) => control.revision(count(number, 'revision', 1)),
  },
  {
    method: 'GET',
    path: '/v1/flows',
    summary: 'The connections that the engine tracks',
    query: {
      limit: 'how many at most: 1 to 100000, by default 1000',
      workload: 'only those with a verdict at this workload',
      denied: '`true`: only those that are denied',
    },
    result: results.flows,
    answer: ({ control, query }) => views.flows(control, flowFilter(query)),
  },
  {
    method: 'GET',
    path: '/v1/events',
    summary: 'What happened since control started',
    query: { after: 'only events with a greater number, by default 0' },
    result: results.events,
    answer: ({ control, query }) => control.events.after(count(query.get('after') ?? '0', 'number', 0)),
  },
  {
    method: 'GET',
    path: '/v1/stats',
    summary: "The engine's counters",
    result: results.stats,
    answer: ({ control }) => views.stats(control),
  },
  {
    method: 'POST',
    path: '/v1/trace/simulate',
    summary: 'What the engine would do with packets; nothing is sent',
    body: traceApi.simulateBody,
    result: traceApi.simulateResult,
    answer: ({ control, body }) => tracing.simulate(control, parse(traceApi.simulateBody, body)),
  },
  {
    method: 'POST',
    path: '/v1/trace/inject',
    summary: 'Send a packet as if its workload had, and see what becomes of it and what answers',
    body: traceApi.injectBody,
    result: traceApi.injectResult,
    answer: ({ control, body }) => tracing.inject(control, parse(traceApi.injectBody, body)),
  },
  {
    method: 'POST',
    path: '/v1/trace/live',
    summary: 'Begin to trace real traffic; it ends when nothing is taken for 10 s',
    body: traceApi.liveBody,
    result: traceApi.liveResult,
    answer: ({ control, body }) => tracing.startLive(control, parse(traceApi.liveBody, body)),
  },
  {
    method: 'GET',
    path: '/v1/trace/live/:id',
    summary: 'Take what was traced since the last time',
    query: { steps: '`true`: also step by step' },
    result: traceApi.takenResult,
    answer: ({ control, names: [id], query }) =>
      tracing.takeLive(control, count(id, 'trace', 1), query.get('steps') === 'true'),
  },
  {
    method: 'DELETE',
    path: '/v1/trace/live/:id',
    summary: 'End a trace of real traffic',
    result: traceApi.endedResult,
    answer: ({ control, names: [id] }) => tracing.stopLive(control, count(id, 'trace', 1)),
  },
];

async function planned(control: Control, given: z.output<typeof planBody>): Promise<PlanReviewResult> {
  const { result, desired } = control.plan(given.sources, given.prune);
  return given.review ? { ...result, ...(await review(control, result, desired)) } : result;
}

async function promote(
  control: Control,
  { name, revision }: z.output<typeof promoteBody>,
): Promise<ApplyResult | PromotePlan> {
  if (revision !== undefined) return control.promote(name, revision);
  const { result, desired, revision: planned } = control.planPromote(name);
  return { ...result, ...(await review(control, result, desired)), revision: planned };
}

function applied(control: Control, { sources, prune }: z.output<typeof applyBody>, tell: Tell | undefined) {
  return control.apply(sources, prune, tell);
}

function ruled(control: Control, query: URLSearchParams) {
  const unused = query.get('unused');
  return unused === null ? views.rules(control) : unusedRules(control, count(unused, 'number of seconds', 1));
}

function explained(control: Control, question: z.output<typeof explainBody>) {
  try {
    return evaluateFlow(control.documents, question);
  } catch (cause) {
    throw new HeadgateError('question', errorMessage(cause), { cause });
  }
}

function flowFilter(query: URLSearchParams): views.FlowFilter {
  const workload = query.get('workload');
  return {
    limit: query.has('limit') ? count(query.get('limit') ?? '', 'limit', 1, 100_000) : 1000,
    denied: query.get('denied') === 'true',
    ...(workload === null ? {} : { workload }),
  };
}

function kindOf(text: string | undefined): Kind {
  const kind = KINDS.find((known) => known === text);
  if (kind !== undefined) return kind;
  throw new HeadgateError('unknown-kind', `There is no kind ${text ?? ''}.`, {
    remedy: `Kinds are ${KINDS.join(', ')}.`,
  });
}

function deletable(kind: Kind): Kind {
  if (kind !== 'Host') return kind;
  throw new HeadgateError('host-document', 'The Host document cannot be deleted.', {
    remedy: 'It is the host file: only root edits it.',
  });
}

function count(
  text: string | undefined,
  what: string,
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): number {
  const value = /^\d{1,15}$/.test(text ?? '') ? Number(text) : NaN;
  if (value >= least && value <= most) return value;
  throw new HeadgateError(
    'bad-request',
    `'${text ?? ''}' is not a ${what}: a number from ${least} on is wanted.`,
  );
}

function parse<T extends z.ZodType>(schema: T, body: unknown): z.output<T> {
  const parsed = schema.safeParse(body ?? {});
  if (parsed.success) return parsed.data;
  const details = parsed.error.issues
    .flatMap((issue) => plainIssues(issue))
    .slice(0, 10)
    .map(({ path, message }) => `${path.map(String).join('.') || 'body'}: ${message}`);
  throw new HeadgateError('bad-request', 'The body does not fit what this path takes.', { details });
}

type Issue = z.core.$ZodIssue;

/** Of a body that may have several forms: what is wrong by the form that it is nearest to. */
function plainIssues(issue: Issue): Pick<Issue, 'path' | 'message'>[] {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue];
  const [nearest = []] = issue.errors.toSorted((a, b) => a.length - b.length);
  return nearest.map(({ path, message }) => ({ path: [...issue.path, ...path], message }));
}
