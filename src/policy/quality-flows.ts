// Which connections an edit would end: the engine's flows, judged by the new policy.
//
// A connection ends when it was allowed at both ends, the new policy denies it at one, and the rule that had allowed it
// there does not say `onChange: keep`. Those that the old policy denies as well live on for another reason.
import { parseAddress } from '../documents/ip.js';
import type { Flow, Verdict } from '../engine/messages.js';
import type { ServiceMatch } from '../engine/service-text.js';
import type { Matched, MatchedRule } from './quality-match.js';
import { holdsPlace, matchedRules } from './quality-match.js';
import type { Desired, Direction } from './types.js';

export interface EndedConnection {
  flow: Pick<Flow, 'protocol' | 'source' | 'sourcePort' | 'destination' | 'destinationPort'>;
  /** Where it is denied, and by which rule: absent, the default action; its workload is gone: no end. */
  at?: { workload: string; direction: Direction; rule?: string };
  how: 'dropped' | 'reset';
}

export interface EndedConnections {
  /** Connections in the engine, and how many of them were looked at. */
  total: number;
  lookedAt: number;
  dropped: number;
  reset: number;
  /** Denied by the new policy, but kept by the rule that had allowed them. */
  kept: number;
  /** The first of those that end. */
  examples: EndedConnection[];
}

const MOST_EXAMPLES = 10;
const FLOWS_OF_SLICE = 500;

/** Yields now and then; looks at no more flows when it is told that time is up. */
export function* findEnded(
  before: Desired,
  after: Desired,
  { flows, total }: { flows: readonly Flow[]; total: number },
  timeIsUp: () => boolean,
): Generator<undefined, EndedConnections> {
  const found: EndedConnections = { total, lookedAt: 0, dropped: 0, reset: 0, kept: 0, examples: [] };
  const [old, next] = [new Judge(before), new Judge(after)];
  for (const [i, flow] of flows.entries()) {
    if (i % FLOWS_OF_SLICE === FLOWS_OF_SLICE - 1) {
      yield;
      if (timeIsUp()) break;
    }
    found.lookedAt++;
    if (flow.verdicts.some(({ action }) => action !== 'allow')) continue;
    const ended = flow.verdicts
      .map((verdict) => endedAt(flow, verdict, old, next))
      .find((one) => one !== undefined);
    if (!ended) continue;
    found[ended.how]++;
    if (ended.how !== 'kept' && found.examples.length < MOST_EXAMPLES)
      found.examples.push(exampleOf(flow, ended));
  }
  return found;
}

interface Ended {
  how: 'dropped' | 'reset' | 'kept';
  at?: EndedConnection['at'];
}

function endedAt(flow: Flow, verdict: Verdict, old: Judge, next: Judge): Ended | undefined {
  const { workload, direction, rule } = verdict;
  if (!next.has(workload)) return { how: 'dropped' };
  const now = next.judge(workload, direction, flow);
  if (now.action === 'allow' || old.judge(workload, direction, flow).action !== 'allow') return undefined;
  const how = { reevaluate: 'dropped', reset: 'reset', keep: 'kept' } as const;
  return {
    how: how[old.onChangeOf(rule)],
    at: { workload, direction, ...(now.rule !== undefined && { rule: now.rule }) },
  };
}

function exampleOf(flow: Flow, { how, at }: Ended): EndedConnection {
  const { protocol, source, sourcePort, destination, destinationPort } = flow;
  return {
    flow: { protocol, source, sourcePort, destination, destinationPort },
    ...(at && { at }),
    how: how === 'reset' ? 'reset' : 'dropped',
  };
}

interface Judged {
  action: 'allow' | 'drop' | 'reject';
  /** Absent: the default action. */
  rule?: string;
}

/** Says what a policy makes of a flow; the rules of each workload are gathered once. */
export class Judge {
  private readonly matched: Matched;
  private readonly tables = new Map<string, MatchedRule[]>();

  constructor(private readonly desired: Desired) {
    this.matched = matchedRules(desired);
  }

  has(workload: string): boolean {
    return this.desired.workloads.has(workload);
  }

  /** What the rule of this id does to live connections that it had allowed; the default judges them anew. */
  onChangeOf(id: string | undefined): 'reevaluate' | 'reset' | 'keep' {
    const policy =
      id === undefined ? undefined : this.desired.policies.get(id.slice(0, id.indexOf('/')))?.policy;
    return policy?.rules[policy.places.get(id ?? '') ?? -1]?.content.onChange ?? 'reevaluate';
  }

  judge(workload: string, direction: Direction, flow: Flow): Judged {
    const { sides, services } = this.matched;
    const [from, to] = [parseAddress(flow.source), parseAddress(flow.destination)];
    if (!from || !to) throw new Error(`a flow from "${flow.source}" to "${flow.destination}"`);
    const [source, destination] = [sides.placeOf(from), sides.placeOf(to)];
    let left = -1;
    for (const one of this.table(workload, direction)) {
      const { category, rule } = one;
      if (category === left || !holdsPlace(one.source, source) || !holdsPlace(one.destination, destination))
        continue;
      if (!(services.listOf(one.services)?.some((entry) => matches(entry, flow)) ?? true)) continue;
      const { action } = rule.content;
      if (action !== 'pass') return { action, rule: rule.reference.id };
      left = category;
    }
    return { action: this.desired.defaultAction };
  }

  /** The rules in force at a workload, in order; those that only observe are left out. */
  private table(workload: string, direction: Direction): MatchedRule[] {
    const key = `${direction} ${workload}`;
    let table = this.tables.get(key);
    if (!table) {
      const { rules, scopes } = this.matched;
      table = rules.filter(
        (rule) => rule.isEnforced && rule[direction] && scopes.of(rule.scope).has(workload),
      );
      this.tables.set(key, table);
    }
    return table;
  }
}

function matches({ protocol, ports, sourcePorts, icmpType, icmpCode }: ServiceMatch, flow: Flow): boolean {
  const holds = (list: typeof ports, port: number) =>
    list === undefined || list.some(([first, last]) => first <= port && port <= last);
  return (
    protocol === flow.protocol &&
    holds(ports, flow.destinationPort) &&
    holds(sourcePorts, flow.sourcePort) &&
    (icmpType === undefined || icmpType === (flow.icmpType ?? 0)) &&
    (icmpCode === undefined || icmpCode === (flow.icmpCode ?? 0))
  );
}
