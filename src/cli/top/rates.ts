// What happened between two looks at the engine's counters, for each second: workloads, rules, flows and drops.
import type { FlowResult, FlowsResult, StatsResult } from '../../control/api.js';
import { hitsByRule } from '../../shared/hits.js';
import { LIMIT_REASONS } from '../../shared/limit-reasons.js';

export interface Sample {
  /** Milliseconds. */
  time: number;
  stats: StatsResult;
  flows: FlowsResult;
}

export interface WorkloadRate {
  workload: string;
  sentPackets: number;
  sentBytes: number;
  receivedPackets: number;
  receivedBytes: number;
  drops: number;
}

/** What a workload has begun, beside what it may. */
export interface ConnectionRate {
  workload: string;
  open: number;
  halfOpen: number;
  begun: number;
  refused: number;
  limits: StatsResult['workloads'][number]['limits'];
}

export interface RuleRate {
  rule: string;
  flows: number;
  packets: number;
  bytes: number;
  /** Flows since the engine started. */
  total: number;
}

export interface FlowRate {
  flow: FlowResult;
  packets: number;
  bytes: number;
}

export interface DropRate {
  reason: string;
  direction: string;
  text: string;
  packets: number;
  total: number;
}

/** Each list with the busiest first. */
export interface Top {
  time: number;
  connections: number;
  connectionsLimit: number;
  workloads: WorkloadRate[];
  hitters: ConnectionRate[];
  rules: RuleRate[];
  flows: FlowRate[];
  drops: DropRate[];
}

export function ratesOf(before: Sample, after: Sample): Top {
  const seconds = Math.max((after.time - before.time) / 1000, 0.001);
  const { connections, connectionsLimit } = after.stats;
  return {
    time: after.time,
    connections,
    connectionsLimit,
    workloads: workloads(before.stats, after.stats, seconds),
    hitters: hitters(before.stats, after.stats, seconds),
    rules: rules(before.stats, after.stats, seconds),
    flows: flows(before.flows, after.flows, seconds),
    drops: drops(before.stats, after.stats, seconds),
  };
}

/** Counters begin anew with an engine: then all that it counted is new. */
const rate = (before: number, after: number, seconds: number): number =>
  (after >= before ? after - before : after) / seconds;

function workloads(before: StatsResult, after: StatsResult, seconds: number): WorkloadRate[] {
  const old = new Map(before.workloads.map((one) => [one.workload, one]));
  const all = after.workloads.map((now) => {
    const was = old.get(now.workload);
    return {
      workload: now.workload,
      sentPackets: rate(was?.sentPackets ?? 0, now.sentPackets, seconds),
      sentBytes: rate(was?.sentBytes ?? 0, now.sentBytes, seconds),
      receivedPackets: rate(was?.receivedPackets ?? 0, now.receivedPackets, seconds),
      receivedBytes: rate(was?.receivedBytes ?? 0, now.receivedBytes, seconds),
      drops: rate(sumOf(was?.drops), sumOf(now.drops), seconds),
    };
  });
  return all.sort(
    (a, b) => b.sentBytes + b.receivedBytes - a.sentBytes - a.receivedBytes || b.drops - a.drops,
  );
}

function sumOf(drops: Record<string, number> = {}): number {
  return Object.values(drops).reduce((sum, one) => sum + one, 0);
}

function hitters(before: StatsResult, after: StatsResult, seconds: number): ConnectionRate[] {
  const old = new Map(before.workloads.map((one) => [one.workload, one]));
  const all = after.workloads.map((now) => {
    const was = old.get(now.workload);
    return {
      workload: now.workload,
      open: now.connections,
      halfOpen: now.halfOpen,
      begun: rate(was?.begun ?? 0, now.begun, seconds),
      refused: rate(refusedOf(was?.drops), refusedOf(now.drops), seconds),
      limits: now.limits,
    };
  });
  return all.sort((a, b) => b.refused - a.refused || b.open - a.open || b.begun - a.begun);
}

function refusedOf(drops: Record<string, number> = {}): number {
  return LIMIT_REASONS.reduce((sum, reason) => sum + (drops[reason] ?? 0), 0);
}

function rules(before: StatsResult, after: StatsResult, seconds: number): RuleRate[] {
  const old = hitsByRule(before.hits);
  const all = [...hitsByRule(after.hits)].map(([rule, now]) => {
    const was = old.get(rule);
    return {
      rule,
      flows: rate(was?.flows ?? 0, now.flows, seconds),
      packets: rate(was?.packets ?? 0, now.packets, seconds),
      bytes: rate(was?.bytes ?? 0, now.bytes, seconds),
      total: now.flows,
    };
  });
  return all.sort((a, b) => b.flows - a.flows || b.packets - a.packets || b.total - a.total);
}

function flows(before: FlowsResult, after: FlowsResult, seconds: number): FlowRate[] {
  const old = new Map<string, FlowResult[]>();
  for (const flow of before.flows) {
    const same = old.get(keyOf(flow));
    if (same === undefined) old.set(keyOf(flow), [flow]);
    else same.push(flow);
  }
  const all = after.flows.map((flow) => {
    // Several may have the same ends, as pings do, or have had: it is the one that was as much younger as time has passed.
    const gap = (one: FlowResult) => Math.abs(flow.age - seconds - one.age);
    const [was] = (old.get(keyOf(flow)) ?? [])
      .filter(({ age }) => flow.age >= age)
      .sort((a, b) => gap(a) - gap(b));
    return {
      flow,
      packets: rate(total(was?.packets), total(flow.packets), seconds),
      bytes: rate(total(was?.bytes), total(flow.bytes), seconds),
    };
  });
  return all.sort((a, b) => b.bytes - a.bytes || b.packets - a.packets || a.flow.idle - b.flow.idle);
}

const total = ([there, back]: readonly [number, number] = [0, 0]) => there + back;

function keyOf({ tracker, protocol, source, sourcePort, destination, destinationPort }: FlowResult): string {
  return `${tracker} ${protocol} ${source} ${sourcePort} ${destination} ${destinationPort}`;
}

function drops(before: StatsResult, after: StatsResult, seconds: number): DropRate[] {
  const old = new Map(before.drops.map((drop) => [`${drop.direction} ${drop.reason}`, drop.packets]));
  const all = after.drops
    .filter(({ packets }) => packets > 0)
    .map(({ reason, direction, text, packets }) => ({
      reason,
      direction,
      text,
      packets: rate(old.get(`${direction} ${reason}`) ?? 0, packets, seconds),
      total: packets,
    }));
  return all.sort((a, b) => b.packets - a.packets || b.total - a.total);
}
