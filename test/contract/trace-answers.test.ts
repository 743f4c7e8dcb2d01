// What is said of a traced packet: the steps, the actual values, the rules and what came nearest, how to mend it, and which
// metric counts it. By control and the real engine over memory ports.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadAddon } from '../../src/engine/addon.js';
import type { Trace } from '../../src/engine/trace-messages.js';
import type { InjectResult } from '../../src/control/trace-api.js';
import { World } from '../../src/policy/index.js';
import { STAGES, type TraceAnswer } from '../../src/trace/answer.js';
import { checksum } from '../../src/trace/build.js';
import { HINTS } from '../../src/trace/hints.js';
import { metricsOf, packetLine, summaryOf, verdictLine } from '../../src/trace/line.js';
import type { Described, PacketQuestion } from '../../src/trace/packet.js';
import { Macs } from '../../src/trace/prepare.js';
import { stepsOf } from '../../src/trace/steps.js';
import { packet, policy, RULES, said, TraceBed } from '../support/trace-bed.js';

let bed: TraceBed;
beforeAll(async () => {
  bed = await TraceBed.start();
});
afterAll(() => bed.stop());

/** The bytes of a packet as web sends it, changed. */
async function changed(
  change: (frame: Buffer) => Buffer | void,
  more: Partial<Described> = {},
): Promise<PacketQuestion> {
  const frame = await bed.frame(more);
  return { from: more.from ?? 'web', frame: (change(frame) ?? frame).toString('base64') };
}

test('each stage of a packet that arrives is told with its values', async () => {
  const [answer] = await bed.simulate(packet());
  expect(answer).toMatchObject({
    packet: 'tcp 10.0.0.1:40000 > 10.0.0.2:5432 [S]',
    outcome: 'delivered',
    summary: 'delivered to db',
    verdict: 'allow web out shop/sql -> allow db in shop/sql',
    metrics: [],
  });
  expect(answer).not.toHaveProperty('hint');
  const stages = answer?.steps?.map(({ stage }) => stage);
  expect(stages).toEqual([
    ...[
      'port',
      'parse',
      'guard',
      'locate',
      'fragments',
      'track',
      'classify',
      'classify',
      'services',
      'forward',
      'transmit',
    ],
  ]);
  const [first, second] = (answer?.steps ?? []).filter(({ stage }) => stage === 'classify');
  expect(first?.verdict).toMatchObject({
    action: 'allow',
    rule: { id: 'shop/sql', file: '/t/documents.yaml' },
  });
  expect(first?.text).toMatch(/^web out: allow by shop\/sql \(\/t\/documents.yaml:\d+\)$/);
  expect(second).toMatchObject({ workload: 'db', direction: 'in', outcome: 'ok' });
  expect(said(answer as TraceAnswer)).toMatch(/ok locate \S+ is db in segment lan/);
  expect(bed.native.collect('db')).toEqual([]);
});

test('a MAC that nobody has is told beside the one that the destination has', async () => {
  const [answer] = await bed.simulate(packet({ destinationMac: '02:00:00:00:00:99' }));
  expect(said(answer as TraceAnswer)).toMatch(
    /02:00:00:00:00:99 is not known in segment lan.*\n10\.0\.0\.2 is db, whose MAC is \S+: is the sender's ARP entry old\?/,
  );
});

describe('a drop is named with its values', () => {
  const sourceMac = '02:66:66:66:66:66';
  const cases: [
    reason: string,
    stage: string,
    ask: PacketQuestion | (() => Promise<PacketQuestion>),
    words: RegExp,
  ][] = [
    ['ethernet-bad-source', 'parse', packet({ sourceMac: '03:00:00:00:00:01' }), /the source is 03:00/],
    [
      'ethernet-truncated',
      'parse',
      () => changed((frame) => frame.subarray(0, 13)),
      /the frame has 13 bytes/,
    ],
    ['vlan-too-many-tags', 'parse', () => changed((frame) => tagged(frame, 1, 2, 3)), /VLAN 1\.2\.3/],
    [
      'ethertype-unsupported',
      'parse',
      () => changed((frame) => void frame.writeUInt16BE(0x88cc, 12)),
      /EtherType 0x88cc/,
    ],
    [
      'ipv4-bad-length',
      'parse',
      () => changed((frame) => void frame.writeUInt16BE(99, 16)),
      /says 99 bytes.*are 40/,
    ],
    [
      'ipv4-bad-checksum',
      'parse',
      () => changed((frame) => void frame.writeUInt16BE(0xdead, 24)),
      /it has 0xdead, right is 0x26ce/,
    ],
    ['ipv4-bad-address', 'parse', packet({ sourceAddress: '10.0.0.2' }), /from 10\.0\.0\.2 to 10\.0\.0\.2/],
    [
      'ipv6-bad-length',
      'parse',
      () => changed((frame) => void frame.writeUInt16BE(999, 18), { family: 6 }),
      /says 999 bytes.*are 20/,
    ],
    ['tcp-bad-flags', 'parse', packet({ tcpFlags: 3 }), /the flags are FS/],
    ['tcp-truncated', 'parse', () => changed((frame) => shortened(frame, 30)), /the frame has 44 bytes/],
    ['vlan-not-allowed', 'guard', packet({ vlans: [7] }), /it has VLAN 7/],
    [
      'vlan-unmapped',
      'guard',
      packet({ from: 'red-1', to: '10.0.1.9', destinationMac: sourceMac, vlans: [30], sourceMac }),
      /VLAN 30; mapped on hg-nic: 10 is red-1, 20\.7 is blue-1/,
    ],
    ['spoofed-mac', 'guard', packet({ sourceMac }), new RegExp(`it used ${sourceMac}; web may use .* alone`)],
    [
      'spoofed-ipv4',
      'guard',
      packet({ sourceAddress: '10.0.0.9' }),
      /it used 10\.0\.0\.9; web may use 10\.0\.0\.1/,
    ],
    [
      'spoofed-ipv6',
      'guard',
      packet({ sourceAddress: 'fd00::9', family: 6 }),
      /it used fd00::9; web may use .*fd00::1/,
    ],
    [
      'spoofed-arp',
      'guard',
      packet({ protocol: 'arp', sourceAddress: '10.0.0.9' }),
      /its sender is 10\.0\.0\.9; web may use 10/,
    ],
    [
      'spoofed-arp',
      'guard',
      () => changed((frame) => void frame.writeUInt8(9, 27), { protocol: 'arp' }),
      /its sender MAC is \S+09, the frame comes from/,
    ],
    [
      'spoofed-nd',
      'guard',
      packet({ protocol: 58, icmpType: 136, sourceAddress: 'fd00::9' }),
      /it used fd00::9/,
    ],
    ['no-other-port', 'locate', () => changed((frame) => void frame.copyWithin(0, 6, 12)), /is its own MAC/],
    ['mac-reserved', 'locate', packet({ destinationMac: '01:80:c2:00:00:00' }), /to 01:80:c2:00:00:00/],
    [
      'no-member',
      'locate',
      packet({ from: 'alone', to: '10.0.9.2', destinationMac: 'ff:ff:ff:ff:ff:ff' }),
      /segment lonely/,
    ],
    [
      'policy-drop',
      'classify',
      packet({ destinationPort: 22 }),
      /drop by shop\/stop-ssh .*\n.*nearest: shop\/ssh .*it matches, but stands behind shop\/stop-ssh/,
    ],
    [
      'policy-reject',
      'classify',
      packet({ destinationPort: 23 }),
      /answer classify web is answered with a TCP reset/,
    ],
    [
      'default-drop',
      'classify',
      packet({ destinationPort: 5433 }),
      /by the default \(.*headgate\.yaml:2\)\nnearest: shop\/sql .*do not hold tcp 5433/,
    ],
    [
      'default-drop',
      'classify',
      packet({ destinationPort: 8080 }),
      /nearest: shop\/maybe .*it would allow it, but is in observe mode/,
    ],
  ];

  test.each(cases)('%s at %s (%#)', async (reason, stage, ask, words) => {
    const [answer] = await bed.simulate(typeof ask === 'function' ? await ask() : ask);
    expect(answer?.steps?.at(reason === 'policy-reject' ? -2 : -1)).toMatchObject({
      stage,
      outcome: 'drop',
      reason,
    });
    expect(answer?.outcome).toBe(reason === 'policy-reject' ? 'rejected' : 'dropped');
    expect(answer?.summary).toContain(`at ${stage}`);
    expect(answer?.summary).toContain(`: ${reason}: `);
    expect(said(answer as TraceAnswer)).toMatch(words);
    if (!['policy-drop', 'default-drop'].includes(reason)) expect(answer?.hint).toBe(HINTS[reason]);
    const direction = reason === 'policy-reject' ? 'in' : 'out';
    expect(answer?.metrics).toEqual([
      `headgate_drop_packets_total{reason="${reason}",direction="${direction}"}`,
    ]);
  });

  test.each([
    [22, 'Put shop/ssh before the rule that decides, or make that one narrower.'],
    [5433, 'Change services of shop/sql, or write a rule for this one.'],
    [8080, 'Let it decide: headgate promote shop/maybe'],
    [23, HINTS['policy-reject']],
  ])('what came near to allowing port %d is what is to be changed', async (destinationPort, hint) => {
    expect((await bed.simulate(packet({ destinationPort })))[0]?.hint).toBe(hint);
  });

  test('a later fragment is held until its first one comes', async () => {
    const [answer] = await bed.simulate(packet({ fragment: { offset: 1480, more: false } }));
    expect(answer?.steps?.at(-1)).toMatchObject({ stage: 'fragments', outcome: 'ok' });
    expect(answer?.steps?.at(-1)?.text).toMatch(/waits for its first/);
    expect(answer?.outcome).toBe('unknown');
    expect(answer?.summary).toMatch(/^held: /);
  });

  function tagged(frame: Buffer, ...vlans: number[]): Buffer {
    const tags = vlans.map((vlan) => Buffer.from([0x81, 0, 0, vlan]));
    return Buffer.concat([frame.subarray(0, 12), ...tags, frame.subarray(12)]);
  }

  /** With a right length and checksum in its IPv4 header. */
  function shortened(frame: Buffer, length: number): Buffer {
    const bytes = Buffer.from(frame.subarray(0, 14 + length));
    bytes.writeUInt16BE(length, 16);
    bytes.writeUInt16BE(0, 24);
    bytes.writeUInt16BE(checksum(bytes.subarray(14, 34)), 24);
    return bytes;
  }
});

describe('every reason of reasons.def', () => {
  const text = readFileSync(resolve(import.meta.dirname, '../../native-bindings/packet/reasons.def'), 'utf8');
  const reasons = [...text.matchAll(/^REASON\(\w+, "([a-z0-9-]+)"/gm)].map(([, name = '']) => name);

  test('has a hint, and no other has one', () => {
    expect(reasons.length).toBe(loadAddon().reasons.length);
    expect(Object.keys(HINTS)).toEqual(reasons);
  });

  test.each(reasons)('%s is named at each stage where it may be, whatever else is known', (reason) => {
    const world = new World([]);
    for (const stage of STAGES.filter((one) => one !== 'port' && one !== 'services')) {
      const drops: Trace['drops'] = [
        { reason, text: 'words of the engine', stage, direction: 'out', workload: 'w' },
      ];
      const trace: Trace = {
        time: 0,
        stage,
        length: 3,
        packets: 1,
        frame: 'AAAA',
        verdicts: [],
        outputs: [],
        drops,
      };
      const explains = {
        world,
        macs: new Macs(world, []),
        rule: () => undefined,
        host: undefined,
        decide: () => undefined,
      };
      expect(stepsOf(trace, explains).at(-1)).toMatchObject({ stage, outcome: 'drop', reason });
      expect(summaryOf(trace)).toContain(`${reason}: words of the engine`);
      expect(verdictLine(trace)).toBe(`drop ${reason} at ${stage}`);
      expect(metricsOf(trace)).toEqual([`headgate_drop_packets_total{reason="${reason}",direction="out"}`]);
      expect(packetLine(trace)).toBe('a frame without an Ethernet header');
    }
  });
});

describe('a packet of a connection that is there', () => {
  const open = (sourcePort: number) =>
    bed.stack.client.post<InjectResult>('/v1/trace/inject', { packet: packet({ sourcePort }), wait: 0 });

  test('is told to be, with the state, and who decided before', async () => {
    await open(42_000);
    const back = packet({ from: 'db', to: 'web', sourcePort: 5432, destinationPort: 42_000, tcpFlags: 0x12 });
    const [answer] = await bed.simulate(back);
    expect(said(answer as TraceAnswer)).toContain(
      'ok track a reply of the connection tcp 10.0.0.1:42000 > 10.0.0.2:5432 in tracker lan, state syn-sent -> syn-received',
    );
    expect(said(answer as TraceAnswer)).toMatch(
      /db in: allow by shop\/sql .*, at an earlier packet of the connection/,
    );
  });

  test('whose verdict was kept says so', async () => {
    const keeping = RULES.replace('name: sql, action: allow', 'name: sql, action: allow, onChange: keep');
    await bed.apply(policy(keeping));
    await open(42_001);
    await bed.apply(policy(keeping.replace('name: sql, action: allow', 'name: sql, action: drop')));
    const [kept] = await bed.simulate(packet({ sourcePort: 42_001, tcpFlags: 0x10 }));
    expect(kept?.outcome).toBe('delivered');
    expect(said(kept as TraceAnswer)).toContain(
      'it was kept (onChange: keep): the policy in force says otherwise',
    );
    expect(kept?.steps?.find(({ stage }) => stage === 'classify')?.verdict).toMatchObject({
      action: 'allow',
      isKept: true,
    });
    expect((await bed.simulate(packet({ sourcePort: 42_002 })))[0]?.outcome).toBe('dropped');
    await bed.apply(policy(RULES));
  });

  test('that a changed rule ends is named', async () => {
    const resetting = RULES.replace('name: sql, action: allow', 'name: sql, action: allow, onChange: reset');
    await bed.apply(policy(resetting));
    await open(42_003);
    await bed.apply(policy(resetting.replace('name: sql, action: allow', 'name: sql, action: drop')));
    const [ended] = await bed.simulate(packet({ sourcePort: 42_003, tcpFlags: 0x10 }));
    expect(ended?.summary).toContain('connection-reset');
    expect(ended?.hint).toBe(HINTS['connection-reset']);
    await bed.apply(policy(RULES));
  });
});
