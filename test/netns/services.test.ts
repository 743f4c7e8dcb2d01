// Service switching by service tags, on real frames: two tenants with the same addresses and MACs, an originating switch
// and a gateway, and portals behind it (services-bed.ts draws them). Underlay and portals speak VLAN here;
// services-tunnels.test.ts has the other encapsulations.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { LiveResult, SimulateResult, TakenResult } from '../../src/control/trace-api.js';
import { execIn, ip, spawnIn, waitUntil } from '../../src/lab/namespaces.js';
import type { TraceAnswer } from '../../src/trace/answer.js';
import { document, type Document } from './bed.js';
import { ServicesBed, TENANTS, type Host } from './services-bed.js';

const NUMBERS = { red: 11, blue: 12 } as const;
let bed: ServicesBed;

const spec = (kind: string, name: string, what: Record<string, unknown>) => document(kind, name, what);

/** The switch: every tenant's UDP and TCP goes to the gateway under the tenant's tag. */
function switchDocuments(tenants: readonly (typeof TENANTS)[number][] = TENANTS): Document[] {
  return [
    ...bed.tenants(),
    spec('Segment', 'underlay', {}),
    spec('Workload', 'uplink', { segment: 'underlay', attach: { nic: { interface: 'u0' } } }),
    spec('ServicePortal', 'gateway', { workload: 'uplink' }),
    ...TENANTS.map((client) =>
      spec('ServiceTag', `${client}-inspect`, { tag: NUMBERS[client], client, service: 'inspect' }),
    ),
    ...tenants.map((client) =>
      spec('ServiceInsertion', client, {
        client,
        via: 'gateway',
        rules: [{ name: 'all', services: [{ protocol: 'udp' }, { protocol: 'tcp' }], through: 'inspect' }],
      }),
    ),
  ];
}

const health = { probe: 'icmp', address: '192.0.2.1', source: '192.0.2.254', interval: 100, failures: 3 };

const PLACES: Document[] = [
  document('Segment', 'underlay', {}),
  document('Segment', 'services', {}),
  document('Workload', 'downlink', { segment: 'underlay', attach: { nic: { interface: 'd0' } } }),
  ...[1, 2, 3].map((i) =>
    document('Workload', `port${i}`, { segment: 'services', attach: { nic: { interface: `q${i}` } } }),
  ),
  document('ServicePortal', 'switch', { workload: 'downlink' }),
];

function portals(first: Record<string, unknown> = {}): Document[] {
  return [
    spec('ServicePortal', 'p1', { workload: 'port1', health, ...first }),
    spec('ServicePortal', 'p2', { workload: 'port2', health }),
    spec('ServicePortal', 'p3', { workload: 'port3', health }),
  ];
}

function tag(client: (typeof TENANTS)[number], where: Record<string, unknown>): Document {
  return spec('ServiceTag', `${client}-inspect`, {
    tag: NUMBERS[client],
    client,
    service: 'inspect',
    from: 'switch',
    ...where,
  });
}

/** red is served by p1, blue by p2. */
const gatewayDocuments = () => [
  ...PLACES,
  ...portals(),
  tag('red', { portal: 'p1' }),
  tag('blue', { portal: 'p2' }),
];

async function healthy(host: Host, ...names: string[]): Promise<void> {
  for (const name of names)
    await waitUntil(`portal ${name} is up`, async () => {
      const { state, probes, failures } = await host.portal(name);
      return state === 'up' && probes > failures + 2;
    });
}

/** What the services stage says, of the traces in their order. */
const servicesOf = (traces: TraceAnswer[]) =>
  traces.flatMap(({ steps = [] }) =>
    steps.filter(({ stage, outcome }) => stage === 'services' && outcome === 'ok').map(({ text }) => text),
  );

const seenBy = (portal: 'p1' | 'p2' | 'p3', payload: string) =>
  bed.appliances[portal].seen.filter((one) => one.payload?.includes(payload));

beforeAll(async () => {
  bed = await ServicesBed.start();
  await bed.switch.apply(switchDocuments());
  await bed.gateway.apply(gatewayDocuments());
  await bed.switch.attached();
  await bed.gateway.attached();
  await bed.startAgents();
  await bed.startNamedServers();
  await healthy(bed.gateway, 'p1', 'p2', 'p3');
}, 120_000);
afterAll(() => bed?.stop());

beforeEach(async () => {
  await bed.switch.apply(switchDocuments(), true);
  await bed.gateway.apply(gatewayDocuments(), true);
  bed.clear();
});
afterEach(async () => {
  for (const portal of ['p1', 'p2', 'p3'] as const) {
    ip('-n', bed.netns(portal), 'link', 'set', 'eth0', 'up');
    await bed.appliances[portal].tell('reset');
  }
  await healthy(bed.gateway, 'p1', 'p2', 'p3');
});

describe('two tenants with the same addresses', () => {
  test('the same packet of each reaches its own portal under its tag, and comes home', async () => {
    expect(await bed.ask('red-a', 'same')).toBe('red-b same');
    expect(await bed.ask('blue-a', 'same')).toBe('blue-b same');
    // There and back: the answer goes through the portal too.
    const ways = (portal: 'p1' | 'p2') =>
      seenBy(portal, 'same').map(({ vlan, source, ports }) => [vlan, source, ports]);
    expect(ways('p1')).toEqual([
      [11, '10.0.0.1', [5555, 7100]],
      [11, '10.0.0.2', [7100, 5555]],
    ]);
    expect(ways('p2')).toEqual([
      [12, '10.0.0.1', [5555, 7100]],
      [12, '10.0.0.2', [7100, 5555]],
    ]);
    expect(bed.appliances.p3.seen).toEqual([]);
    for (const [tenant, portal] of [
      ['red', 'p1'],
      ['blue', 'p2'],
    ] as const) {
      const leg = await bed.gateway.leg(`${tenant}-inspect`, 1, portal);
      expect(leg.sentPackets[0]).toBeGreaterThan(0);
      expect(leg.returnedPackets).toEqual(leg.sentPackets);
    }
  });

  test('negative control: without insertion nothing reaches a portal; with tags mixed up the wrong one does', async () => {
    await bed.switch.apply(switchDocuments(['blue']), true);
    expect(await bed.ask('red-a', 'past')).toBe('red-b past');
    expect(seenBy('p1', 'past')).toEqual([]);
    await bed.switch.apply(switchDocuments(), true);
    await bed.gateway.apply([tag('red', { portal: 'p2' }), tag('blue', { portal: 'p1' })]);
    expect(await bed.ask('red-a', 'mixed')).toBe('red-b mixed');
    expect(seenBy('p1', 'mixed')).toEqual([]);
    expect(seenBy('p2', 'mixed')).toHaveLength(2);
  });

  test('TCP goes through, super-frames and all', async () => {
    const answer = await bed.agents['red-a'].tcp('10.0.0.2', 7001);
    expect(answer).toMatchObject({ outcome: 'reached' });
    expect(bed.appliances.p1.seen.some(({ protocol }) => protocol === 6)).toBe(true);
  });

  test('a trace tells tag, portal, hop and outer headers, at both ends', async () => {
    const packet = { from: 'red-a', to: 'red-b', protocol: 17, destinationPort: 7100 };
    const simulated = await bed.switch.control.post<SimulateResult>('/v1/trace/simulate', {
      packets: [packet],
    });
    expect(servicesOf(simulated.traces)).toEqual(['sent to gateway, hop 1, under tag red-inspect: VLAN 11']);
    const { id } = await bed.gateway.control.post<LiveResult>('/v1/trace/live', {});
    expect(await bed.ask('red-a', 'traced')).toBe('red-b traced');
    const told: string[] = [];
    await waitUntil('there and back are told', async () => {
      const path = `/v1/trace/live/${id}?steps=true`;
      told.push(...servicesOf((await bed.gateway.control.get<TakenResult>(path)).traces));
      return told.length >= 8;
    });
    const [at, fw] = [
      'switch, where its client is, under tag red-inspect: VLAN 11',
      'p1, hop 1, under tag red-inspect: VLAN 11',
    ];
    const passage = [`has come from ${at}`, `sent to ${fw}`, `has come from ${fw}`, `sent to ${at}`];
    expect(told).toEqual([...passage, ...passage]);
    await bed.gateway.control.delete(`/v1/trace/live/${id}`);
  });

  test('flows tell tag, portal and hop', async () => {
    await bed.ask('red-a', 'told');
    const { flows } = await bed.switch.flows();
    expect(flows.find(({ service }) => service?.tag === 'red-inspect')?.service?.portals).toEqual([
      'gateway',
    ]);
    const there = await bed.gateway.flows();
    const found = there.flows.filter(({ service }) => service !== undefined);
    expect(found.map(({ tracker, service }) => [tracker, service?.portals])).toContainEqual([
      'client:red',
      ['p1'],
    ]);
  });
});

describe('what is refused', () => {
  test('a tag that the gateway does not know is a counted drop', async () => {
    const before = await bed.gateway.drops('service-tag-unknown');
    await bed.gateway.apply([...PLACES, ...portals(), tag('red', { portal: 'p1' })], true);
    expect(await bed.ask('blue-a', 'unknown')).toBeUndefined();
    expect(await bed.gateway.drops('service-tag-unknown')).toBeGreaterThan(before);
    expect(await bed.ask('red-a', 'known')).toBe('red-b known');
  });

  test('tags that a tenant puts on its frames are refused, and never reach anybody', async () => {
    const before = await bed.switch.drops('vlan-not-allowed');
    const forge = `
from scapy.all import *
conf.verb = 0
for vlan in (11, 12):
    sendp(Ether(dst="02:00:00:00:00:0b", src="02:00:00:00:00:0a")/Dot1Q(vlan=vlan)/IP(src="10.0.0.1", dst="10.0.0.2")/UDP(sport=5555, dport=7100)/b"forged", iface="eth0")`;
    await execIn(bed.netns('red-a'), ['/usr/bin/python3', '-c', forge]);
    await waitUntil(
      'both are counted',
      async () => (await bed.switch.drops('vlan-not-allowed')) >= before + 2,
    );
    expect(await bed.ask('red-a', 'after')).toBe('red-b after');
    for (const portal of ['p1', 'p2'] as const) expect(seenBy(portal, 'forged')).toEqual([]);
  });

  test('tags that do not reach tenants: what they receive has none', async () => {
    const dump = spawnIn(bed.netns('red-b'), ['tcpdump', '-lnei', 'eth0', 'vlan']);
    let ready = '';
    dump.stderr?.on('data', (data: Buffer) => (ready += data.toString()));
    await waitUntil('tcpdump listens', () => ready.includes('listening on'));
    expect(await bed.ask('red-a', 'bare')).toBe('red-b bare');
    dump.kill('SIGINT');
    await waitUntil('tcpdump ends', () => ready.includes('packets captured'));
    expect(ready).toMatch(/^0 packets captured/m);
  });
});

describe('a chain', () => {
  const CHAIN = () => [
    spec('ServiceChain', 'three', { portals: ['p1', 'p2', 'p3'] }),
    tag('red', { chain: 'three' }),
  ];

  test('of three portals, one of which rewrites: in order, replies in the opposite one, counted at every hop', async () => {
    await bed.gateway.apply(CHAIN());
    await bed.appliances.p2.tell('rewrite 11 secret public');
    const before = await Promise.all([1, 2, 3].map((hop) => bed.gateway.leg('red-inspect', hop)));
    expect(await bed.ask('red-a', 'secret')).toBe('red-b public');
    const payloads = (portal: 'p1' | 'p2' | 'p3') =>
      bed.appliances[portal].seen.filter(({ protocol }) => protocol === 17).map(({ payload }) => payload);
    expect(payloads('p1')).toEqual(['secret', 'red-b public']);
    expect(payloads('p2')).toEqual(['secret', 'red-b public']);
    expect(payloads('p3')).toEqual(['public', 'red-b public']);
    for (const [i, hop] of [1, 2, 3].entries()) {
      const leg = await bed.gateway.leg('red-inspect', hop);
      expect(leg.portal).toBe(`p${hop}`);
      for (const side of [0, 1] as const) {
        expect(leg.sentPackets[side] - (before[i]?.sentPackets[side] ?? 0)).toBe(1);
        expect(leg.returnedPackets[side] - (before[i]?.returnedPackets[side] ?? 0)).toBe(1);
      }
    }
  });

  test('frames that are sent round are stopped, and counted', async () => {
    // All three are on one nic here, so that p3's appliance can give frames back as if they came from the first hop.
    const on1 = (name: string) => spec('ServicePortal', name, { workload: 'port1' });
    await bed.gateway.apply([
      ...['i1', 'i2', 'i3'].map(on1),
      spec('ServiceChain', 'three', { portals: ['i1', 'i2', 'i3'] }),
      tag('red', { chain: 'three', portalTags: { i1: 201, i2: 202, i3: 203 } }),
    ]);
    await bed.appliances.p1.tell('retag 203 201');
    expect(await bed.ask('red-a', 'round')).toBeUndefined();
    await waitUntil('the loop is stopped', async () => (await bed.gateway.drops('service-loop')) > 0);
    const rounds = bed.appliances.p1.seen.length;
    expect(rounds).toBeLessThan(2000);
    await bed.gateway.apply([tag('red', { portal: 'p1' })]);
  });
});

/** A stream of numbered datagrams that goes on, and what has become of it so far. */
async function stream(from: 'red-a' | 'blue-a', sent: number) {
  const { received } = await bed.agents[from].sequence('10.0.0.2', 7000, sent, 5);
  return { sent, echoed: received };
}

const down = (portal: 'p1' | 'p2') => ip('-n', bed.netns(portal), 'link', 'set', 'eth0', 'down');
/** Of datagrams 5 ms apart: those of one second. */
const ONE_SECOND = 200;

describe('a portal that dies under load', () => {
  const die = async (first: Record<string, unknown>) => {
    await bed.gateway.apply(portals(first));
    await healthy(bed.gateway, 'p1');
    const running = stream('red-a', 800);
    await waitUntil('frames go through p1', () => bed.appliances.p1.seen.length > 100);
    down('p1');
    const began = Date.now();
    await waitUntil('it is noticed', async () => (await bed.gateway.portal('p1')).state === 'down', 3000);
    const noticed = Date.now() - began;
    expect(noticed).toBeLessThan(1000);
    return { running, noticed };
  };

  test('its alternate takes over old and new flows within a second', async () => {
    const { running } = await die({ alternates: ['p2'] });
    expect(await bed.ask('red-a', 'new')).toBe('red-b new');
    expect(seenBy('p2', 'new')).toHaveLength(2);
    const { sent, echoed } = await running;
    console.log(`alternate: ${sent} sent, ${echoed} echoed`);
    expect(sent - echoed).toBeLessThan(ONE_SECOND);
  });

  test('open: old and new flows go on without it within a second', async () => {
    const { running } = await die({ fail: 'open' });
    expect(await bed.ask('red-a', 'new')).toBe('red-b new');
    const { sent, echoed } = await running;
    console.log(`open: ${sent} sent, ${echoed} echoed`);
    expect(sent - echoed).toBeLessThan(ONE_SECOND);
    expect((await bed.gateway.leg('red-inspect', 1)).bypassedPackets).toBeGreaterThan(100);
  });

  test('closed: nothing goes on, and it is counted', async () => {
    const before = await bed.gateway.drops('service-portal-down');
    const { running } = await die({ fail: 'closed' });
    expect(await bed.ask('red-a', 'new')).toBeUndefined();
    expect(await bed.ask('blue-a', 'other')).toBe('blue-b other');
    await running;
    expect(await bed.gateway.drops('service-portal-down')).toBeGreaterThan(before + 100);
    expect((await bed.gateway.portal('p1')).fault).toBeDefined();
  });
});

test('a tag that is pointed elsewhere under load loses no frame of the other tag', async () => {
  const [red, blue] = [stream('red-a', 600), stream('blue-a', 600)];
  await waitUntil('both go', () => bed.appliances.p1.seen.length > 50 && bed.appliances.p2.seen.length > 50);
  for (const portal of ['p3', 'p1', 'p3']) {
    await bed.gateway.apply([tag('red', { portal })]);
    const at = bed.appliances[portal as 'p1' | 'p3'];
    const before = at.seen.length;
    await waitUntil(`red goes through ${portal}`, () => at.seen.length > before + 20);
  }
  const counts = { red: await red, blue: await blue };
  console.log(`re-pointed: ${JSON.stringify(counts)}`);
  expect(counts.blue).toMatchObject({ sent: 600, echoed: 600 });
  // What is with the old portal at that moment comes from there no more.
  expect(counts.red.sent - counts.red.echoed).toBeLessThan(10);
});

test('a portal that loses tags: its frames come home by their connection', async () => {
  await bed.gateway.apply(portals({ returns: 'record' }));
  await bed.appliances.p1.tell('retag 11 0');
  expect(await bed.ask('red-a', 'bare')).toBe('red-b bare');
  expect(seenBy('p1', 'bare')).toHaveLength(2);
});

test('negative control: the same portal without `returns: record` loses the frames', async () => {
  await bed.appliances.p1.tell('retag 11 0');
  const before = await bed.gateway.drops('service-tag-unknown');
  expect(await bed.ask('red-a', 'bare')).toBeUndefined();
  expect(await bed.gateway.drops('service-tag-unknown')).toBeGreaterThan(before);
});
