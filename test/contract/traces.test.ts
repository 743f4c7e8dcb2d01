// What the engine says of traced frames is in the form that control expects: simulated, injected and live, by the real
// addon over memory ports; and what it refuses.
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadAddon, type NativeEngine } from '../../src/engine/addon.js';
import { requests, type Delta } from '../../src/engine/messages.js';
import { LONGEST_FRAME, type GivenFrame, type Trace } from '../../src/engine/trace-messages.js';
import { Traces } from '../../src/engine/traces.js';
import { frameOf } from '../netns/frame.js';
import { tmpfsFolder } from '../support/tmpfs-folder.js';

const MACS = { a: '02:00:00:00:00:01', b: '02:00:00:00:00:02' };
const UNKNOWN = '02:00:00:00:00:99';
const addon = loadAddon();
let folder = '';
let engine: NativeEngine;
let traces: Traces;
let now = 1_000_000_000n;

beforeAll(async () => {
  folder = tmpfsFolder('hg-traces-');
  engine = addon.createEngine({ workers: 0, connections: 1024, poolDirectory: folder });
  traces = new Traces(engine);
  const workload = (name: 'a' | 'b', last: number) => ({
    name,
    digest: '1',
    segment: 'lan',
    attach: { kind: 'tap' as const, device: `tap-${name}`, mac: MACS[name], addresses: [], gateways: [] },
    mac: MACS[name],
    addresses: [`10.0.0.${last}`],
  });
  const delta: Delta = {
    defaultAction: 'allow',
    setSegments: [{ name: 'lan', digest: '1', tracker: 'lan' }],
    setWorkloads: [workload('a', 1), workload('b', 2)],
    setRules: [
      {
        key: 'telnet',
        services: ['6/23'],
        action: 'reject',
        mode: 'enforce',
        log: false,
        onChange: 'reevaluate',
      },
    ],
    setScopes: [{ name: 'b', digest: '1', workloads: ['b'] }],
    setEntries: [
      {
        id: 'p/no-telnet',
        digest: '1',
        rule: 'telnet',
        category: 3,
        order: 0,
        direction: 'in',
        scope: 'b',
      },
    ],
  };
  await engine.publish(delta);
  for (const name of ['a', 'b']) engine.attach(name, { kind: 'memory' });
});
afterAll(() => {
  engine.stop();
  rmSync(folder, { recursive: true });
});

const bytes = (destinationPort: number, source = '10.0.0.1') =>
  frameOf(
    { protocol: 6, source, destination: '10.0.0.2', sourcePort: 999, destinationPort },
    MACS.a,
    MACS.b,
    0,
    0,
  );
const given = (destinationPort: number, source?: string): GivenFrame => ({
  workload: 'a',
  frame: bytes(destinationPort, source).toString('base64'),
});

function fits<T extends 'simulate' | 'inject' | 'takeTrace'>(type: T, result: unknown): void {
  expect(requests[type].result.safeParse(result).error?.issues).toBeUndefined();
}

test('a simulated frame is told stage by stage, and nothing comes of it', () => {
  const result = traces.simulate([given(80), given(23), given(80, '10.0.0.7')]);
  fits('simulate', result);
  const [passed, rejected, spoofed] = result.traces as [Trace, Trace, Trace];
  expect(passed).toMatchObject({
    workload: 'a',
    segment: 'lan',
    destination: 'b',
    stage: 'transmit',
    headers: { sourceMac: MACS.a, destinationMac: MACS.b, vlans: [], tcpFlags: 2 },
    connection: { isNew: true, reply: false, before: 'none', after: 'syn-sent', tracker: 'lan' },
    verdicts: [
      { workload: 'a', direction: 'out', action: 'allow', isNew: true },
      { workload: 'b', direction: 'in', action: 'allow', isNew: true },
    ],
    outputs: [{ workload: 'b', what: 'frame' }],
    drops: [],
  });
  expect(passed.headers?.flow).toMatchObject({ source: '10.0.0.1', sourcePort: 999, destinationPort: 80 });
  expect(Buffer.from(passed.frame, 'base64')).toEqual(bytes(80));
  expect(rejected).toMatchObject({
    stage: 'classify',
    verdicts: [{ workload: 'a' }, { workload: 'b', action: 'reject', rule: 'p/no-telnet' }],
    outputs: [{ workload: 'a', what: 'answer' }],
    drops: [{ reason: 'policy-reject', stage: 'classify', direction: 'in', workload: 'b' }],
  });
  expect(spoofed).toMatchObject({
    stage: 'guard',
    drops: [{ reason: 'spoofed-ipv4', stage: 'guard', direction: 'out', workload: 'a' }],
    verdicts: [],
  });
  expect(engine.collect('b')).toEqual([]);
  expect(engine.flows(10, true).total).toBe(0);
});

test('an injected frame arrives with the MACs that were asked for, and its trace comes back', () => {
  const frame = bytes(81);
  frame.fill(0, 0, 12);
  const result = traces.inject({
    workload: 'a',
    frame: frame.toString('base64'),
    ownMac: true,
    toMac: 'b',
  });
  fits('inject', result);
  expect(result.trace).toMatchObject({ stage: 'transmit', destination: 'b', outputs: [{ workload: 'b' }] });
  expect(engine.collect('b')).toEqual([bytes(81)]);
});

test('a live trace gives what fits its filter, once, until it is stopped', () => {
  const program = addon.compileFilter('tcp dst port 82');
  const { trace } = traces.start({ program, bytes: 60 });
  for (const port of [82, 83]) engine.inject('a', bytes(port));
  engine.run((now += 1_000_000n));
  const taken = traces.take(trace, 100);
  fits('takeTrace', taken);
  expect(taken).toMatchObject({ lost: 0, traces: [{ headers: { flow: { destinationPort: 82 } } }] });
  expect(Buffer.from(taken.traces[0]?.frame ?? '', 'base64')).toEqual(bytes(82).subarray(0, 60));
  expect(traces.take(trace, 100).traces).toEqual([]);
  traces.stop(trace);
  expect(() => traces.take(trace, 1)).toThrow('no such trace');
  engine.collect('b');
});

test('of long frames no more are taken at once than are sent soon, and none is lost', () => {
  const { trace } = traces.start({ bytes: LONGEST_FRAME });
  for (let i = 0; i < 100; i++) engine.inject('a', Buffer.alloc(60_000));
  while (engine.run((now += 1_000_000n)) > 0);
  const counts = [1, 2, 3].map(() => traces.take(trace, 2000).traces.length);
  expect(counts).toEqual([69, 31, 0]);
  traces.stop(trace);
});

test('a live trace by rule and by workload', () => {
  const byRule = traces.start({ rule: 'p/no-telnet', bytes: 0 }).trace;
  const byWorkload = traces.start({ workload: 'b', bytes: 0 }).trace;
  const byDrop = traces.start({ dropped: true, bytes: 0 }).trace;
  for (const port of [23, 84]) engine.inject('a', bytes(port));
  engine.run((now += 1_000_000n));
  expect(traces.take(byRule, 10).traces).toMatchObject([{ headers: { flow: { destinationPort: 23 } } }]);
  expect(traces.take(byWorkload, 10).traces).toHaveLength(2);
  expect(traces.take(byDrop, 10).traces).toMatchObject([{ drops: [{ reason: 'policy-reject' }] }]);
  for (const trace of [byRule, byWorkload, byDrop]) traces.stop(trace);
});

test('a trace that nobody takes from ends', () => {
  const { trace } = traces.start({ bytes: 0 });
  traces.tick();
  expect(traces.take(trace, 1).traces).toEqual([]);
  traces.tick(performance.now() + 11_000);
  expect(() => traces.take(trace, 1)).toThrow('no such trace');
});

test('what cannot be traced is refused in words', () => {
  expect(() => traces.simulate([{ workload: 'nobody', frame: '' }])).toThrow("no workload 'nobody'");
  expect(() => traces.start({ rule: 'p/none', bytes: 0 })).toThrow("a rule 'p/none'");
  expect(() => traces.start({ program: [[0, 0, 0, 1]], bytes: 0 })).toThrow('beyond a frame');
  expect(() => addon.compileFilter('tcp prot 80')).toThrow(/syntax error/);
  const long = Buffer.alloc(LONGEST_FRAME + 1).toString('base64');
  expect(() => traces.simulate([{ workload: 'a', frame: long }])).toThrow('longer than a buffer');
  const many = Array.from({ length: 8 }, () => traces.start({ bytes: 0 }).trace);
  expect(() => traces.start({ bytes: 0 })).toThrow('8 traces already');
  for (const trace of many) traces.stop(trace);
});

test('a frame to a workload that was never heard from is flooded, as the MAC is not known', () => {
  const frame = bytes(85);
  frame.set(Buffer.from(UNKNOWN.replaceAll(':', ''), 'hex'), 0);
  const [trace] = traces.simulate([{ workload: 'a', frame: frame.toString('base64') }]).traces;
  expect(trace).toMatchObject({ flooded: true, outputs: [{ workload: 'b' }] });
  expect(trace?.verdicts).toHaveLength(2);
});
