// What policy says about a described packet, straight from the documents: `headgate explain`, and the oracle
// that property tests hold against the compiled state and the engine.
//
// It is naive on purpose and shares no step with resolve and lower: no address sets, no index tables. Policies
// are taken in order; each rule is asked field by field whether it matches. Where nothing decides, the rule that
// failed in the fewest fields is the nearest miss; where a rule denies, the `allow` that came nearest.
import type {
  AppliedTo,
  Document,
  Metadata,
  Rule,
  SecurityPolicyDocument,
  Selection,
  ServiceEntry,
  WorkloadDocument,
} from '../documents/index.js';
import {
  addressesOf,
  edgePlace,
  ofKind,
  protocolName,
  protocolNumber,
  SIDES,
  trackerPlace,
} from '../documents/index.js';
import { clip, parsePorts } from '../documents/fields.js';
import type { Address, Range } from '../documents/ip.js';
import { contains, parseAddress, parseRange } from '../documents/ip.js';
import { selects } from '../documents/selection.js';
import { ruleIds } from './names.js';
import { categoryOf, orderedPolicies } from './order.js';
import type { Direction, RuleReference } from './types.js';

/** A new flow's first packet: addresses as text, numbers as in its headers. Absent ports and types: 0. */
export interface Packet {
  protocol: number;
  source: string;
  destination: string;
  sourcePort?: number | undefined;
  destinationPort?: number | undefined;
  icmpType?: number | undefined;
  icmpCode?: number | undefined;
}

export type MissField = 'appliedTo' | 'direction' | 'from' | 'to' | 'services' | 'mode' | 'pass' | 'shadowed';

/** The rule that came nearest to deciding, and what kept it from it. */
export interface NearestMiss {
  rule: RuleReference;
  /**
   * The first field that did not match; `pass`: it matches, but a pass rule had left its category; `shadowed`: it matches,
   * but stands behind the rule that decides.
   */
  field: MissField;
  /** In words: `to does not hold 10.0.2.9`. */
  reason: string;
}

/** What one workload's rules say about a packet. */
export interface Decision {
  workload: string;
  direction: Direction;
  action: 'allow' | 'drop' | 'reject';
  /** The deciding rule; absent: the default action. */
  rule?: RuleReference;
  /** Where the default is set (`file` absent: nowhere, so allow); only without `rule`. */
  section?: { text: string; file?: string; line?: number };
  /** Without `rule`: of all rules; with one that denies: of those that allow. */
  nearestMiss?: NearestMiss;
  /** Matching `pass` rules that ended a category, in order. */
  passed: RuleReference[];
  /** Matching rules in observe mode, in order. */
  observed: RuleReference[];
}

/** Judges a packet at one workload; throws when there is no such workload or an address is not valid. */
export function evaluate(
  documents: readonly Document[],
  workload: string,
  direction: Direction,
  packet: Packet,
): Decision {
  return evaluateIn(new World(documents), workload, direction, packet);
}

/** The documents by name, so that one question after the other needs no new search. */
export class World {
  readonly workloads: Map<string, { document: WorkloadDocument; addresses: Range[] | undefined }>;
  /** Of trackers that edge pairs name, by what they are called among workloads. */
  readonly trackers: Map<string, Metadata>;
  /** What the interfaces of edge pairs are called among workloads. */
  readonly edges: Set<string>;
  readonly groups: Map<string, Selection>;
  readonly services: Map<string, ServiceEntry[]>;
  readonly policies: { document: SecurityPolicyDocument; ids: string[] }[];

  constructor(readonly documents: readonly Document[]) {
    this.workloads = new Map(
      ofKind(documents, 'Workload').map((document) => {
        const { name } = document.metadata;
        return [name, { document, addresses: addressesOf(name, document.spec) }];
      }),
    );
    const pairs = ofKind(documents, 'EdgePair');
    this.edges = new Set(
      pairs.flatMap(({ metadata }) => SIDES.map((side) => edgePlace(metadata.name, side))),
    );
    const crossed = new Set(pairs.flatMap(({ spec }) => spec.bridges.map(({ tracker }) => tracker)));
    this.trackers = new Map(
      ofKind(documents, 'Tracker')
        .filter(({ metadata }) => crossed.has(metadata.name))
        .map(({ metadata }) => [trackerPlace(metadata.name), metadata]),
    );
    this.groups = new Map(ofKind(documents, 'Group').map((group) => [group.metadata.name, group.spec]));
    this.services = new Map(ofKind(documents, 'Service').map((one) => [one.metadata.name, one.spec.entries]));
    this.policies = orderedPolicies(documents).map((document) => ({ document, ids: ruleIds(document) }));
  }

  /** Who has these rules; undefined: there is neither such a workload nor such a tracker. */
  judge(workload: string): Judge | undefined {
    const tracker = this.trackers.get(workload);
    if (tracker) return { kind: 'trackers', metadata: tracker };
    const metadata = this.workloads.get(workload)?.document.metadata;
    return metadata && { kind: 'workloads', metadata };
  }

  /** The workloads that may use this address. */
  owners(address: Address): WorkloadDocument[] {
    return [...this.workloads.values()]
      .filter(({ addresses }) => addresses?.some((range) => contains(range, address)))
      .map(({ document }) => document);
  }
}

/** Whose rules are asked: a workload's, or those of a tracker that flows across edge pairs have. */
interface Judge {
  kind: 'workloads' | 'trackers';
  metadata: Metadata;
}

interface End {
  address: Address;
  owners: WorkloadDocument[];
}

interface Question {
  judge: Judge;
  direction: Direction;
  packet: Packet;
  source: End;
  destination: End;
}

interface Miss {
  score: number;
  field: MissField;
  reason: string;
}

export function evaluateIn(world: World, workload: string, direction: Direction, packet: Packet): Decision {
  const judge = world.judge(workload);
  if (!judge) throw new Error(`there is no workload "${workload}"`);
  const end = (text: string): End => {
    const address = parseAddress(text);
    if (!address) throw new Error(`"${text}" is not an address`);
    return { address, owners: world.owners(address) };
  };
  const question = {
    judge,
    direction,
    packet,
    source: end(packet.source),
    destination: end(packet.destination),
  };
  const decision: Decision = { workload, direction, action: 'allow', passed: [], observed: [] };
  const misses: NearRule[] = [];
  let leftCategory = -1;
  for (const { policy, rule, reference } of rulesOf(world)) {
    const found = missesOf(world, policy, rule, question);
    const miss = (score: number, field: MissField, reason: string) =>
      misses.push({ rule: reference, miss: { score, field, reason } });
    if (found[0]) {
      const score = found.reduce((sum, one) => sum + one.score, 0);
      miss(score, found[0].field, found[0].reason);
    } else if (decision.rule) {
      miss(0.5, 'shadowed', `it matches, but stands behind ${decision.rule.id}`);
    } else if (categoryOf(policy) === leftCategory) {
      const passed = decision.passed.at(-1)?.id ?? 'a rule before it';
      miss(0.5, 'pass', `it matches, but ${passed} passes on to the next category`);
    } else if (reference.mode === 'observe') {
      decision.observed.push(reference);
      const would = rule.action === 'pass' ? 'pass it on' : `${rule.action} it`;
      miss(0.5, 'mode', `it would ${would}, but is in observe mode: counted and logged, not enforced`);
    } else if (rule.action === 'pass') {
      decision.passed.push(reference);
      leftCategory = categoryOf(policy);
    } else {
      decision.action = rule.action;
      decision.rule = reference;
      if (rule.action === 'allow') return decision;
    }
  }
  return decision.rule ? withNearestAllow(decision, misses) : byDefault(world, decision, misses);
}

interface NearRule {
  rule: RuleReference;
  miss: Miss;
}

function* rulesOf({
  policies,
}: World): Generator<{ policy: SecurityPolicyDocument; rule: Rule; reference: RuleReference }> {
  for (const { document: policy, ids } of policies)
    for (const [i, rule] of policy.spec.rules.entries())
      yield { policy, rule, reference: referenceTo(policy, i, ids[i] ?? '') };
}

function referenceTo(policy: SecurityPolicyDocument, i: number, id: string): RuleReference {
  const rule = policy.spec.rules[i] as Rule;
  const line = policy.origin.rules?.[i] ?? policy.origin.line;
  return {
    id,
    file: policy.origin.file,
    line,
    action: rule.action,
    mode: rule.mode ?? policy.spec.mode ?? 'enforce',
  };
}

function byDefault(world: World, decision: Decision, misses: readonly NearRule[]): Decision {
  const host = ofKind(world.documents, 'Host')[0];
  const action = host?.spec.default ?? 'allow';
  // Among equals, a rule that would have changed the outcome is the one that people look for.
  const nearest = nearestOf(misses, ({ rule, miss }) => miss.score + (rule.action === action ? 0.25 : 0));
  const section = !host
    ? { text: 'no Host document: allow' }
    : {
        text: `Host/${host.metadata.name} spec.default${host.spec.default ? '' : ' (not set: allow)'}`,
        file: host.origin.file,
        line: host.origin.line,
      };
  return { ...decision, action, section, ...nearest };
}

/** Two fields or another protocol away from matching: it is about something else. */
const UNRELATED = 2;

function withNearestAllow(decision: Decision, misses: readonly NearRule[]): Decision {
  const allows = misses.filter(({ rule, miss }) => rule.action === 'allow' && miss.score < UNRELATED);
  return { ...decision, ...nearestOf(allows, ({ miss }) => miss.score) };
}

/** The first of those with the least distance; nothing when there are none. */
function nearestOf(
  misses: readonly NearRule[],
  distance: (miss: NearRule) => number,
): { nearestMiss?: NearestMiss } {
  const nearest = misses.reduce<NearRule | undefined>(
    (best, one) => (best === undefined || distance(one) < distance(best) ? one : best),
    undefined,
  );
  if (!nearest) return {};
  const { field, reason } = nearest.miss;
  return { nearestMiss: { rule: nearest.rule, field, reason } };
}

/** Every field in which a rule does not match, with how much each weighs; none: the rule matches. */
function missesOf(world: World, policy: SecurityPolicyDocument, rule: Rule, question: Question): Miss[] {
  const { judge, direction, packet, source, destination } = question;
  const misses: Miss[] = [];
  const miss = (field: MissField, reason: string, score = 1) => misses.push({ field, reason, score });
  for (const [whose, appliedTo] of [
    ['the policy', policy.spec.appliedTo],
    ['it', rule.appliedTo],
  ] as const) {
    if (appliedTo && !holdsJudge(world, appliedTo, judge)) {
      miss('appliedTo', `${whose} does not apply to ${nameOf(judge)}`);
      break;
    }
  }
  if (rule.direction !== undefined && rule.direction !== 'both' && rule.direction !== direction) {
    miss('direction', `it is for direction ${rule.direction}, this is ${direction}`);
  }
  if (rule.from && !holdsAddress(world, rule.from, source))
    miss('from', notHeld(world, 'from', rule.from, source, packet.source));
  if (rule.to && !holdsAddress(world, rule.to, destination))
    miss('to', notHeld(world, 'to', rule.to, destination, packet.destination));
  const entries = rule.services?.flatMap((one) =>
    typeof one === 'string' ? (world.services.get(one) ?? []) : [one],
  );
  const distance = entries && Math.min(...entries.map((entry) => serviceDistance(entry, packet)));
  if (distance !== undefined && distance > 0) {
    const shown = clip(
      rule.services?.map((one) => (typeof one === 'string' ? one : describeEntry(one))).join(', ') ?? '',
    );
    miss('services', `services (${shown}) do not hold ${describePacket(packet)}`, distance);
  }
  return misses;
}

function holdsJudge(world: World, selection: AppliedTo, judge: Judge): boolean {
  const { groups = [], except } = selection;
  const { name, labels } = judge.metadata;
  if (except && holdsJudge(world, except, judge)) return false;
  const selector = selection[judge.kind];
  if (selector && selects(selector, name, labels)) return true;
  return groups.some((group) => holdsJudge(world, world.groups.get(group) ?? {}, judge));
}

function nameOf({ kind, metadata }: Judge): string {
  return kind === 'trackers' ? trackerPlace(metadata.name) : metadata.name;
}

function holdsAddress(world: World, selection: Selection, end: End): boolean {
  const { workloads, addresses = [], groups = [], except } = selection;
  if (except && holdsAddress(world, except, end)) return false;
  if (workloads && end.owners.some(({ metadata }) => selects(workloads, metadata.name, metadata.labels)))
    return true;
  if (addresses.some((text) => inRange(text, end.address))) return true;
  return groups.some((name) => holdsAddress(world, world.groups.get(name) ?? {}, end));
}

function notHeld(world: World, field: string, selection: Selection, end: End, text: string): string {
  const { except, ...rest } = selection;
  const isTakenOut = except !== undefined && holdsAddress(world, rest, end);
  return isTakenOut
    ? `${field} holds ${text}, but its except takes it out`
    : `${field} does not hold ${text}`;
}

function inRange(text: string, address: Address): boolean {
  const range = parseRange(text);
  return range !== undefined && contains(range, address);
}

/** 0: the entry matches. Another protocol is farther away than another port. */
function serviceDistance(entry: ServiceEntry, packet: Packet): number {
  if (protocolNumber(entry.protocol) !== packet.protocol) return 2;
  const listed = (ports: (number | string)[] | undefined, port = 0) =>
    ports?.some((text) => {
      const bounds = parsePorts(text);
      return bounds !== undefined && bounds[0] <= port && port <= bounds[1];
    }) ?? true;
  const ok = [
    listed(entry.ports, packet.destinationPort),
    listed(entry.sourcePorts, packet.sourcePort),
    entry.icmpType === undefined || entry.icmpType === (packet.icmpType ?? 0),
    entry.icmpCode === undefined || entry.icmpCode === (packet.icmpCode ?? 0),
  ];
  return ok.filter((fits) => !fits).length;
}

function describeEntry(entry: ServiceEntry): string {
  const number = protocolNumber(entry.protocol) ?? 0;
  const from = entry.sourcePorts ? ` from ${entry.sourcePorts.join(',')}` : '';
  const type = entry.icmpType === undefined ? '' : ` type ${entry.icmpType}`;
  return `${protocolName(number)}${entry.ports ? ` ${entry.ports.join(',')}` : ''}${from}${type}`;
}

/** `tcp 443`, `icmp type 8`. */
export function describePacket(packet: Packet): string {
  const name = protocolName(packet.protocol);
  if (name === 'icmp' || name === 'icmpv6') return `${name} type ${packet.icmpType ?? 0}`;
  return packet.destinationPort === undefined ? `protocol ${name}` : `${name} ${packet.destinationPort}`;
}
