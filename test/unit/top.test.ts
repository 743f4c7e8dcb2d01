// What `headgate top` says happened between two looks, and how it fits a screen.
import { describe, expect, it } from 'vitest';
import type { FlowResult, StatsResult } from '../../src/control/api.js';
import { ratesOf, type Sample } from '../../src/cli/top/rates.js';
import { topLines } from '../../src/cli/top/view.js';

const flow = (sourcePort: number, packets: number, age = 10): FlowResult => ({
  tracker: 'lan',
  protocol: 'tcp',
  source: '10.0.0.1',
  sourcePort,
  destination: '10.0.0.2',
  destinationPort: 80,
  state: 'established',
  verdicts: [{ workload: 'web', direction: 'in', action: 'allow', rule: 'shop/web' }],
  packets: [packets, 0],
  bytes: [packets * 100, 0],
  age,
  idle: 0,
  expires: 10,
});

const workload = (name: string, packets: number, dropped = 0) => ({
  workload: name,
  sentPackets: packets,
  sentBytes: packets * 100,
  receivedPackets: 0,
  receivedBytes: 0,
  drops: { 'policy-drop': dropped },
  connections: 0,
  halfOpen: 0,
  begun: 0,
  limits: { connections: 65_536, halfOpen: 16_384, newPerSecond: 32_768 },
});

const sample = (time: number, stats: Partial<StatsResult>, flows: FlowResult[] = []): Sample => ({
  time,
  stats: {
    generation: 1,
    connections: flows.length,
    connectionsLimit: 100,
    drops: [],
    workloads: [],
    hits: [],
    workers: [],
    portals: [],
    legs: [],
    ...stats,
  },
  flows: { flows, total: flows.length },
});

const hit = (rule: string, name: string, flows: number) => ({
  rule,
  workload: name,
  direction: 'in' as const,
  flows,
  packets: flows * 2,
  bytes: flows * 200,
});

describe('rates', () => {
  it('of workloads, the busiest first', () => {
    const before = sample(0, { workloads: [workload('a', 100), workload('b', 0)] });
    const after = sample(2000, { workloads: [workload('a', 110), workload('b', 50, 4)] });
    expect(ratesOf(before, after).workloads).toMatchObject([
      { workload: 'b', sentPackets: 25, sentBytes: 2500, drops: 2 },
      { workload: 'a', sentPackets: 5, drops: 0 },
    ]);
  });

  it('of connections that workloads begin: whom limits refuse first, then who has most open', () => {
    const hitter = (name: string, connections: number, begun: number, refused: number) => ({
      ...workload(name, 0),
      connections,
      begun,
      drops: { 'policy-drop': 1000, 'connections-rate': refused, 'half-open-quota': 10 },
    });
    const before = sample(0, {
      workloads: [hitter('a', 0, 0, 0), hitter('b', 0, 0, 0), hitter('c', 0, 0, 0)],
    });
    const after = sample(2000, {
      workloads: [hitter('a', 1, 4, 0), hitter('b', 7, 8, 0), hitter('c', 2, 6, 20)],
    });
    expect(ratesOf(before, after).hitters).toMatchObject([
      { workload: 'c', open: 2, begun: 3, refused: 10 },
      { workload: 'b', open: 7, begun: 4, refused: 0 },
      { workload: 'a', open: 1, begun: 2, refused: 0 },
    ]);
  });

  it('of rules, over all workloads', () => {
    const before = sample(0, { hits: [hit('p/x', 'a', 1), hit('p/y', 'a', 100)] });
    const after = sample(1000, { hits: [hit('p/x', 'a', 2), hit('p/x', 'b', 3), hit('p/y', 'a', 100)] });
    expect(ratesOf(before, after).rules).toEqual([
      { rule: 'p/x', flows: 4, packets: 8, bytes: 800, total: 5 },
      { rule: 'p/y', flows: 0, packets: 0, bytes: 0, total: 100 },
    ]);
  });

  it('of flows; one with the same ends that is younger is another', () => {
    const before = sample(0, {}, [flow(1, 100), flow(2, 100)]);
    const after = sample(1000, {}, [flow(1, 130, 11), flow(2, 7, 0.5)]);
    expect(ratesOf(before, after).flows.map(({ packets }) => packets)).toEqual([30, 7]);
  });

  it('of flows with the same ends, as pings have', () => {
    const before = sample(0, {}, [flow(1, 10, 20), flow(1, 5, 10), flow(1, 3, 2)]);
    const after = sample(1000, {}, [flow(1, 10, 21), flow(1, 5, 11), flow(1, 7, 3), flow(1, 2, 0.5)]);
    expect(ratesOf(before, after).flows.map(({ packets }) => packets)).toEqual([4, 2, 0, 0]);
  });

  it('of drops; reasons that never came are left out', () => {
    const drops = (packets: number) => [
      { reason: 'policy-drop', text: 'a rule drops it', direction: 'in' as const, packets },
      { reason: 'spoofed-mac', text: 'x', direction: 'in' as const, packets: 0 },
    ];
    expect(ratesOf(sample(0, { drops: drops(5) }), sample(500, { drops: drops(6) })).drops).toEqual([
      { reason: 'policy-drop', text: 'a rule drops it', direction: 'in', packets: 2, total: 6 },
    ]);
  });

  it('after another engine started all that it counted is new', () => {
    const before = sample(0, { workloads: [workload('a', 1000)] });
    const after = sample(1000, { workloads: [workload('a', 10)] });
    expect(ratesOf(before, after).workloads[0]?.sentPackets).toBe(10);
  });
});

describe('a screen', () => {
  const many = Array.from({ length: 50 }, (_, i) => workload(`workload-with-a-long-name-${i}`, i));
  const top = ratesOf(
    sample(0, {}),
    sample(
      1000,
      { workloads: many },
      Array.from({ length: 50 }, (_, i) => flow(i + 1, i)),
    ),
  );

  it.each([
    [80, 24],
    [132, 50],
    [200, 100],
  ])('of %d columns and %d rows is filled and not exceeded', (columns, rows) => {
    const lines = topLines(top, { columns, rows }, undefined, undefined);
    expect(lines.length).toBeLessThanOrEqual(rows);
    expect(lines.length).toBeGreaterThan(rows / 2);
    for (const name of ['WORKLOADS (', 'HITTERS (', 'RULES (', 'FLOWS (', 'DROPS ('])
      expect(lines.filter((line) => line.startsWith(name))).toHaveLength(1);
    for (const line of lines.slice(1)) expect(line.length, line).toBeLessThanOrEqual(columns);
  });

  it('with one table gives it all rows', () => {
    const lines = topLines(top, { columns: 80, rows: 40 }, undefined, 'flows');
    expect(lines.filter((line) => line.startsWith('tcp')).length).toBeGreaterThan(30);
    expect(lines.join('\n')).not.toContain('WORKLOADS');
  });

  it('says why it is old', () => {
    expect(topLines(top, { columns: 80, rows: 24 }, 'control is away', undefined)[1]).toContain(
      'control is away',
    );
  });
});
