// One connection tracker common to several logical switches: the two directions of a flow cross different edge pairs, and
// each frame leaves by the partner of its own ingress.
//
//     south (10.1.0.1)                     Headgate                      north (10.2.0.1)
//       c1 -- p1 =relay= t1 ------- s1 [ pair one ] n1 ------- u1 =relay= q1 -- d1
//       c2 -- p2 =relay= t2 ------- s2 [ pair two ] n2 ------- u2 =relay= q2 -- d2
//
// Path 1 is VLAN 101 in the south and 201 in the north, path 2 is 102 and 202 (edge-bed.ts). South sends by path 1, north
// by path 2, so what Headgate lets through is seen at u1 and at t2.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { FlowResult } from '../../src/control/api.js';
import type { LiveResult, TakenResult } from '../../src/control/trace-api.js';
import { ip, waitUntil } from '../../src/lab/namespaces.js';
import { document, policy } from './bed.js';
import { ADDRESS, EdgeBed, type Seen } from './edge-bed.js';

const trackers = (...names: string[]) => names.map((name) => document('Tracker', name, {}));
const at = (name: string) => ({ trackers: { names: [name] } });
const tcp = (...ports: number[]) => [{ protocol: 'tcp', ports }];

/** South may open connections to north's port 80, and is refused at 81; nothing else passes. */
const RULES = [
  { name: 'web', direction: 'out', services: tcp(80), appliedTo: at('corp'), action: 'allow' },
  { name: 'not-81', direction: 'out', services: tcp(81), appliedTo: at('corp'), action: 'reject' },
  {
    name: 'dns',
    direction: 'out',
    services: [{ protocol: 'udp', ports: [53, 5353] }],
    appliedTo: at('corp'),
    action: 'allow',
  },
];

/** The bed's policy with full TCP tracking: no connection begins but with a SYN. */
const strict = (rules: object[]) => document('SecurityPolicy', 'test', { tracking: 'strict', rules });

let edge: EdgeBed;

const flows = async (): Promise<FlowResult[]> => (await edge.bed.flows()).flows;
/** Where a frame came out of Headgate, and with which tag. */
const place = ({ host, path, vlan }: Seen) => `${host} ${path} ${vlan}`;
const places = (seen: Seen[]) => [...new Set(seen.map(place))].sort();

describe.each([1, 2])('with %i workers', (workers) => {
  beforeAll(async () => {
    edge = await EdgeBed.start({
      host: { workers },
      documents: [...trackers('corp'), strict(RULES)],
    });
  }, 90_000);
  afterAll(() => edge?.stop());
  beforeEach(() => {
    edge.route('south', 1);
    edge.route('north', 2);
    edge.seen.length = 0;
  });

  test('SYN by one pair, SYN-ACK by the other: the connection works, each direction on its own path', async () => {
    expect(await edge.agent('south').hold('c', ADDRESS.north, 80)).toMatchObject({ outcome: 'reached' });
    expect(await edge.agent('south').use('c')).toMatchObject({ outcome: 'reached' });
    const there = await edge.waitFor('frames to north', '> 10.2.0.1.80', 3);
    const back = await edge.waitFor('frames to south', '10.2.0.1.80 >', 2);
    expect(places(there)).toEqual(['north 1 201']);
    expect(places(back)).toEqual(['south 2 102']);
    // The MACs are those of the hosts: who is in between is not seen.
    const [syn, synAck] = [there.find(({ line }) => line.includes('[S]')), back[0]];
    expect(syn).toMatchObject({ from: edge.mac('south', 1), to: edge.mac('north', 1) });
    expect(synAck?.line).toContain('[S.]');
    expect(synAck).toMatchObject({ from: edge.mac('north', 2), to: edge.mac('south', 2) });
    const found = (await flows()).filter(({ destinationPort }) => destinationPort === 80);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({
      tracker: 'corp',
      state: 'established',
      verdicts: [{ workload: 'tracker:corp', direction: 'out', action: 'allow', rule: 'test/web' }],
    });
  });

  test('a hundred of them, one after the other, each a connection of its own', async () => {
    const before = (await flows()).length;
    for (let i = 0; i < 100; i++)
      expect(await edge.agent('south').hold(`many-${i}`, ADDRESS.north, 80)).toMatchObject({
        outcome: 'reached',
      });
    expect((await flows()).length - before).toBe(100);
    for (let i = 0; i < 100; i++)
      expect(await edge.agent('south').use(`many-${i}`)).toMatchObject({ outcome: 'reached' });
  }, 60_000);

  test('north may open none: the direction is that of the flow, not of the frame', async () => {
    const before = await edge.bed.drops('default-drop', 'tracker:corp');
    expect(await edge.agent('north').tcp(ADDRESS.south, 80, 500)).toMatchObject({ outcome: 'silent' });
    expect(await edge.bed.drops('default-drop', 'tracker:corp')).toBeGreaterThan(before);
    expect(edge.out('10.1.0.1.80')).toEqual([]);
  });

  test('a rejected connection is answered by the interface that it came in by', async () => {
    expect(await edge.agent('south').tcp(ADDRESS.north, 81)).toMatchObject({ outcome: 'refused' });
    const answers = await edge.waitFor('a reset', '10.2.0.1.81 >');
    expect(places(answers)).toEqual(['south 1 101']);
    expect(answers[0]).toMatchObject({ from: edge.mac('north', 1), to: edge.mac('south', 1) });
    expect(answers[0]?.line).toContain('[R.]');
    expect(edge.out('> 10.2.0.1.81')).toEqual([]);
  });

  test('an ICMP error about a flow passes by the other pair, without a rule for it', async () => {
    expect(await edge.agent('south').udp(ADDRESS.north, 5353)).toMatchObject({ outcome: 'refused' });
    const errors = await edge.waitFor('the error', 'udp port 5353 unreachable');
    expect(places(errors)).toEqual(['south 2 102']);
  });

  test('one pair loses its link: the flow lives on over the other', async () => {
    expect(await edge.agent('south').hold('moved', ADDRESS.north, 80)).toMatchObject({ outcome: 'reached' });
    const before = (await flows()).length;
    ip('link', 'set', edge.device('north', 1), 'down');
    try {
      const lost = await edge.bed.drops('output-down', 'edge:one/north');
      expect(await edge.agent('south').use('moved', 300)).toMatchObject({ outcome: 'silent' });
      expect(await edge.bed.drops('output-down', 'edge:one/north')).toBeGreaterThan(lost);
      edge.route('south', 2);
      edge.seen.length = 0;
      // What was sent before is sent again, so its echo comes first.
      await waitUntil('the flow goes on', async () => {
        const { outcome } = await edge.agent('south').use('moved', 2000);
        return outcome === 'reached';
      });
      expect(places(await edge.waitFor('frames to north', '> 10.2.0.1.80'))).toEqual(['north 2 202']);
      expect((await flows()).length).toBe(before);
    } finally {
      ip('link', 'set', edge.device('north', 1), 'up');
    }
    edge.route('south', 1);
    await waitUntil('the pair works again', async () => {
      const { outcome } = await edge.agent('south').use('moved', 1000);
      return outcome === 'reached';
    });
  }, 60_000);

  test('an unmapped VLAN is a counted drop', async () => {
    const { id } = await edge.bed.control.post<LiveResult>('/v1/trace/live', { dropped: true });
    const before = await edge.bed.drops('vlan-unmapped', 'edge:one/south');
    const frame = (vlan: number) =>
      `Ether(src="02:00:00:00:01:01", dst="02:00:00:00:02:01")/Dot1Q(vlan=${vlan})/IP(src="10.1.0.1", dst="10.2.0.1")/UDP(sport=7, dport=53)`;
    // One of the other side, one of nobody, two tags where one is known, and none at all.
    const inner = frame(7).replace('Dot1Q(vlan=7)', 'Dot1Q(vlan=101)/Dot1Q(vlan=7)');
    const untagged = frame(7).replace('/Dot1Q(vlan=7)', '');
    await edge.send('south', 1, `[${frame(201)}, ${frame(999)}, ${inner}, ${untagged}] * 5`);
    await edge.send('south', 1, frame(101));
    await edge.waitFor('the frame of a VLAN that has a bridge', '10.1.0.1.7 >');
    expect(places(edge.out('10.1.0.1.7 >'))).toEqual(['north 1 201']);
    // Each of them, by its own bytes: a kernel's own frame, which has no tag, may come by and is counted too.
    const { traces, lost } = await edge.bed.control.get<TakenResult>(`/v1/trace/live/${id}`);
    await edge.bed.control.delete(`/v1/trace/live/${id}`);
    const unmapped = traces.filter(({ trace }) =>
      trace.drops.some(({ reason }) => reason === 'vlan-unmapped'),
    );
    const ours = unmapped.filter(({ trace }) =>
      Buffer.from(trace.frame, 'base64').includes(Buffer.from('00070035', 'hex')),
    );
    expect([ours.length, lost]).toEqual([20, 0]);
    expect((await edge.bed.drops('vlan-unmapped', 'edge:one/south')) - before).toBeGreaterThanOrEqual(20);
  });

  test('the id of a tag is translated, its priority kept', async () => {
    const frame = `Ether(src="02:00:00:00:01:01", dst="02:00:00:00:02:01")/Dot1Q(vlan=101, prio=5)/IP(src="10.1.0.1", dst="10.2.0.1")/UDP(sport=8, dport=53)`;
    await edge.send('south', 1, frame);
    expect(await edge.waitFor('the frame', '10.1.0.1.8 >')).toMatchObject([
      { host: 'north', path: 1, vlan: 201, priority: 5 },
    ]);
  });

  test('switch protocols end at an edge pair, and are counted', async () => {
    const before = await edge.bed.drops('mac-reserved');
    const ether = 'Ether(src="02:00:00:00:01:01", dst="01:80:c2:00:00:0e")/Dot1Q(vlan=101)';
    await edge.send('south', 1, `${ether}/IP(src="10.1.0.1", dst="10.2.0.1")/UDP(sport=9, dport=53)`);
    const unsupported = await edge.bed.drops('ethertype-unsupported', 'edge:one/south');
    await edge.send('south', 1, `${ether}/LLC(dsap=0x42, ssap=0x42, ctrl=3)/STP()`);
    await edge.send(
      'south',
      1,
      'Ether(src="02:00:00:00:01:01", dst="01:80:c2:00:00:0e", type=0x88cc)/Raw(b"lldp")',
    );
    await waitUntil(
      'both are counted',
      async () => (await edge.bed.drops('ethertype-unsupported', 'edge:one/south')) - unsupported === 2,
    );
    expect((await edge.bed.drops('mac-reserved')) - before).toBe(1);
    expect(edge.out('01:80:c2')).toEqual([]);
  });

  test('fragments of a datagram may come by different pairs', async () => {
    const head = 'Ether(src="02:00:00:00:01:01", dst="02:00:00:00:02:01")';
    const ip4 = 'IP(src="10.1.0.1", dst="10.2.0.1", id=4711, proto=17';
    const whole = 'bytes(UDP(sport=5000, dport=5353, len=32)/Raw(b"x" * 24))';
    await edge.send('south', 2, `${head}/Dot1Q(vlan=102)/${ip4}, frag=2)/Raw(${whole}[16:])`);
    await edge.send('south', 1, `${head}/Dot1Q(vlan=101)/${ip4}, flags=1)/Raw(${whole}[:16])`);
    await edge.waitFor('both fragments', '10.1.0.1', 2);
    const [first, later] = ['5000 > ', 'ip-proto-17'].map((text) => places(edge.out(text)));
    expect(first).toEqual(['north 1 201']);
    expect(later).toEqual(['north 2 202']);
  });
});

describe('trackers', () => {
  afterEach(() => edge?.stop());

  test('two different trackers: the SYN-ACK is dropped, though rules allow everything', async () => {
    edge = await EdgeBed.start({
      documents: [...trackers('corp', 'other'), strict([{ name: 'all', action: 'allow' }])],
    });
    edge.route('south', 1);
    edge.route('north', 2);
    expect(await edge.agent('south').tcp(ADDRESS.north, 80)).toMatchObject({ outcome: 'reached' });
    await edge.bed.apply(...edge.pairs(['corp', 'other']));
    expect(await edge.agent('south').tcp(ADDRESS.north, 82, 1500)).toMatchObject({ outcome: 'silent' });
    expect(places(edge.out('> 10.2.0.1.82'))).toEqual(['north 1 201']);
    expect(edge.out('10.2.0.1.82 >')).toEqual([]);
    expect(await edge.bed.drops('tcp-mid-stream', 'edge:two/north')).toBeGreaterThan(0);
    // And back: with one tracker for both it works again.
    await edge.bed.apply(...edge.pairs());
    expect(await edge.agent('south').tcp(ADDRESS.north, 80)).toMatchObject({ outcome: 'reached' });
  }, 90_000);

  test('the same addresses and ports of two tenants are two flows', async () => {
    edge = await EdgeBed.start({
      documents: [
        ...trackers('corp', 'guest'),
        policy([{ name: 'all', direction: 'out', appliedTo: { trackers: {} }, action: 'allow' }]),
      ],
    });
    const guest = { southVlan: 111, northVlan: 211, tracker: 'guest' };
    await edge.bed.apply(...edge.pairs(['corp', 'corp'], [guest]));
    const there = (vlan: number) =>
      `Ether(src="02:00:00:00:01:01", dst="02:00:00:00:02:01")/Dot1Q(vlan=${vlan})/IP(src="10.1.0.1", dst="10.2.0.1")/UDP(sport=6000, dport=5353)`;
    const back = (vlan: number) =>
      `Ether(src="02:00:00:00:02:01", dst="02:00:00:00:01:01")/Dot1Q(vlan=${vlan})/IP(src="10.2.0.1", dst="10.1.0.1")/UDP(sport=5353, dport=6000)`;
    // Only the guest has asked: an answer to corp is none.
    await edge.send('south', 1, there(111));
    await edge.waitFor("the guest's question", '10.1.0.1.6000 >');
    await edge.send('north', 1, `[${back(201)}, ${back(211)}]`);
    await edge.waitFor('the answer', '10.2.0.1.5353 >');
    expect(places(edge.out('10.1.0.1.6000 >'))).toEqual(['north 1 211']);
    expect(places(edge.out('10.2.0.1.5353 >'))).toEqual(['south 1 111']);
    expect(await edge.bed.drops('default-drop', 'tracker:corp')).toBe(1);
    // Now both have, and have a record each; corp's was denied as begun by north and is so no longer once it ages.
    const found = (await flows()).filter(({ sourcePort, destinationPort }) =>
      [sourcePort, destinationPort].includes(6000),
    );
    expect(found.map(({ tracker }) => tracker).sort()).toEqual(['corp', 'guest']);
    expect(found.find(({ tracker }) => tracker === 'guest')).toMatchObject({
      state: 'two-way',
      packets: [1, 1],
    });
  }, 90_000);
});
