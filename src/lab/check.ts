// Tries every pair for real and compares three answers: what the policy says (control's explain), what happened
// (real traffic), and which rule the engine says decided (its flow records). Where the lab has expectations of
// its own, they are the fourth.
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient } from '../cli/client.js';
import { shortPath } from '../cli/output.js';
import type { ExplainBody, ExplainResult, FlowResult, FlowsResult } from '../control/api.js';
import { protocolNumber, type Document } from '../documents/index.js';
import { HeadgateError } from '../shared/errors.js';
import type { RuleReference } from '../policy/index.js';
import type { Answer } from './agent-messages.js';
import { attemptsBetween, serviceName, servicesOf, type Attempt } from './attempts.js';
import type { Expectations } from './expectations.js';
import { Agent } from './probe.js';
import { placesOf, type Place } from './topology.js';

export interface Row {
  attempt: Attempt;
  answer: Answer;
  policy: ExplainResult;
  /** Who decided, as explain says: a rule at each workload that judged, or the default. */
  decidedBy: string[];
  /** What is wrong, in words; empty: all agree. */
  faults: string[];
}

export interface CheckOptions {
  runDir: string;
  documents: readonly Document[];
  expectations: Expectations | undefined;
  say: (text: string) => void;
}

const SILENCE_MS = 1200;
const PATIENCE_MS = 6000;
const AT_ONCE = 64;
const GATHER_MS = 1000;

/** Tries everything; the rows in the order of the documents. */
export async function check(options: CheckOptions): Promise<Row[]> {
  const places = placesOf(options.documents);
  const services = servicesOf(options.documents, options.expectations?.services());
  const attempts = attemptsBetween(places, services);
  const unused = options.expectations?.unused(attempts) ?? [];
  if (unused.length > 0) {
    throw new HeadgateError(
      'lab-expected',
      `${options.expectations?.file}: no two workloads fit ${unused.join(', ')}.`,
      {
        remedy:
          'Names there are those of workloads with a TAP device in a namespace; * at the end stands for any rest.',
      },
    );
  }
  options.say(`trying ${attempts.length} ways between ${places.length} workloads`);

  const agents = new Map(
    await Promise.all(places.map(async (place) => [place, await Agent.start(place.netns)] as const)),
  );
  try {
    const ports = (protocol: string) =>
      services.filter((s) => s.protocol === protocol).map(({ port }) => port);
    await Promise.all(
      [...agents.values()].map((agent) => agent.listen({ tcp: ports('tcp'), udp: ports('udp') })),
    );
    const control = new ApiClient(options.runDir);
    const policies = await eachOf(attempts, (attempt) => explain(control, attempt));
    const trying = eachOf(attempts, (attempt, i) =>
      tryIt(agentAt(agents, attempt.from), attempt, policies[i]?.action !== 'drop'),
    );
    const flows = await recordsDuring(trying, control);
    const answers = await trying;
    return attempts.map((attempt, i) => toRow(attempt, policies[i], answers[i], flows, options.expectations));
  } finally {
    await Promise.all([...agents.values()].map((agent) => agent.close()));
  }
}

/** The engine's flow records, gathered until all is done: those of denied flows are kept for 5 s only. */
async function recordsDuring(all: Promise<unknown>, control: ApiClient): Promise<FlowResult[]> {
  const records: FlowResult[] = [];
  let going = true;
  const done = all.finally(() => (going = false));
  while (going) {
    await Promise.race([done, sleep(GATHER_MS)]);
    records.push(...(await control.get<FlowsResult>('/v1/flows?limit=100000')).flows);
  }
  return records;
}

function agentAt(agents: Map<Place, Agent>, place: Place): Agent {
  const agent = agents.get(place);
  if (agent === undefined) throw new Error(`no agent for ${place.workload}`);
  return agent;
}

/** Runs an action on all items, some at a time; results in the order of the items. */
async function eachOf<T, R>(items: T[], action: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < items.length; i = next++) results[i] = await action(items[i] as T, i);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}

/**
 * A silence where an answer or a refusal is expected is tried once more with patience: a busy machine is no denial, and
 * refusals are rate limited.
 */
async function tryIt(agent: Agent, attempt: Attempt, expected: boolean): Promise<Answer> {
  const first = await once(agent, attempt, SILENCE_MS);
  return expected && first.outcome === 'silent' ? once(agent, attempt, PATIENCE_MS) : first;
}

function once(agent: Agent, { service, address }: Attempt, timeoutMs: number): Promise<Answer> {
  if (service.protocol === 'icmp') return agent.ping(address, timeoutMs);
  return agent[service.protocol](address, service.port, timeoutMs);
}

function numberOf({ service, family }: Attempt): number {
  return protocolNumber(service.protocol === 'icmp' && family === 6 ? 'icmpv6' : service.protocol) ?? 0;
}

function explain(control: ApiClient, attempt: Attempt): Promise<ExplainResult> {
  const { from, to, service, family } = attempt;
  const question: ExplainBody = {
    from: from.workload,
    to: to.workload,
    protocol: numberOf(attempt),
    family,
    ...(service.protocol === 'icmp'
      ? { icmpType: family === 4 ? 8 : 128, icmpCode: 0 }
      : { destinationPort: service.port }),
  };
  return control.post<ExplainResult>('/v1/explain', question);
}

function toRow(
  attempt: Attempt,
  policy: ExplainResult | undefined,
  answer: Answer | undefined,
  flows: FlowResult[],
  expectations: Expectations | undefined,
): Row {
  if (policy === undefined || answer === undefined) throw new Error('an attempt without an answer');
  const faults: string[] = [];
  const wanted = { allow: 'reached', reject: 'refused', drop: 'silent' }[policy.action];
  if (answer.outcome !== wanted)
    faults.push(`the policy says ${policy.action}, but it was ${answer.outcome} (${answer.detail})`);
  if (expectations !== undefined && expectations.allows(attempt) !== (answer.outcome === 'reached')) {
    faults.push(
      `expected to be ${expectations.allows(attempt) ? 'reached' : 'denied'}, but it was ${answer.outcome}`,
    );
  }
  const decisions = judged(policy);
  for (const { workload, direction, rule } of decisions) {
    const want = rule?.id ?? 'default';
    const got = enginesRules(flows, attempt, workload, direction);
    if (!got.includes(want)) {
      faults.push(
        `the engine says that ${got.join(' or ') || 'nothing'} decided at ${workload} (${direction}), not ${want}`,
      );
    }
  }
  return { attempt, answer, policy, decidedBy: describe(decisions), faults };
}

/** The decisions that were really made: behind a denial at the source nothing is judged. */
function judged(policy: ExplainResult): ExplainResult['decisions'] {
  const denial = policy.decisions.findIndex(({ action }) => action !== 'allow');
  return denial < 0 ? policy.decisions : policy.decisions.slice(0, denial + 1);
}

/** One line for each decision; one for both ends when the same rule decided there. */
function describe(decisions: ExplainResult['decisions']): string[] {
  const [first, second] = decisions;
  if (first?.rule !== undefined && first.rule.id === second?.rule?.id)
    return [`both ends: ${byRule(first.rule)}`];
  return decisions.map(({ workload, direction, action, rule, section }) => {
    const where = direction === 'out' ? `leaving ${workload}` : `entering ${workload}`;
    const place = section?.file === undefined ? '' : ` (${shortPath(section.file)}:${section.line})`;
    return `${where}: ${rule === undefined ? `default ${action}s${place}` : byRule(rule)}`;
  });
}

function byRule({ id, action, file, line }: RuleReference): string {
  return `${id} ${action}s (${shortPath(file)}:${line})`;
}

/** The rules that the engine's records of this attempt name at a workload. */
function enginesRules(
  flows: FlowResult[],
  attempt: Attempt,
  workload: string,
  direction: 'in' | 'out',
): string[] {
  const source = attempt.family === 4 ? attempt.from.ipv4 : attempt.from.ipv6;
  const protocol = numberOf(attempt);
  const found = flows.filter(
    (flow) =>
      protocolNumber(flow.protocol) === protocol &&
      flow.source === source &&
      flow.destination === attempt.address &&
      (attempt.service.protocol === 'icmp' || flow.destinationPort === attempt.service.port),
  );
  const rules = found.flatMap(({ verdicts }) =>
    verdicts
      .filter((v) => v.workload === workload && v.direction === direction)
      .map((v) => v.rule ?? 'default'),
  );
  return [...new Set(rules)];
}

export const agrees = (rows: Row[]): boolean =>
  rows.length > 0 && rows.every(({ faults }) => faults.length === 0);

/** `web-1 -> app-1 tcp/8080 IPv4`. */
export function nameOf({ from, to, service, family }: Attempt): string {
  return `${from.workload} -> ${to.workload} ${serviceName(service)} IPv${family}`;
}
