// For each drop reason real frames that cause it, and the two ways to see it: `trace --live --dropped` names it, with
// what counts it, and that metric has gone up.
//
//     a 10.77.0.1, fd77::1 ---TAP---+
//     b 10.77.0.2, fd77::2 ---TAP---+   segment lan, Headgate (default: drop)
//     v any address --------veth----+
//     away (never attached) - - - - +
//     alone 10.99.0.1 ------TAP-------- segment apart, nobody else in it
//     t --------------------trunk------ segment red, VLAN 10
//
// What no kernel hands over, or only in a race, is caused by native-bindings/test/reasons_test.cc instead, which asks a
// trace as well; UNREACHABLE says why. A reason that stands in neither place fails.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LiveResult, SimulateResult, TakenResult } from '../../src/control/trace-api.js';
import { createNamespace, deleteNamespace, execIn, ip, waitUntil } from '../../src/lab/namespaces.js';
import { metricsSocket } from '../../src/shared/paths.js';
import { scrape } from '../support/scrape.js';
import { Bed, document, policy } from './bed.js';
import { BAD_PACKETS, ELSEWHERE } from './tunnel-reasons.js';

const SENDER = fileURLToPath(new URL('drop-reasons.py', import.meta.url));
const REASONS = fileURLToPath(new URL('../../native-bindings/packet/reasons.def', import.meta.url));
const id = String(process.pid);
const devices = { v: `hgv${id}`, t: `hgt${id}` };
const netns = { v: `hg${id}-v`, t: `hg${id}-t` };
const AWAY_MAC = '02:00:00:00:00:0a';
const V_MAC = '02:77:00:00:00:0b';

let bed: Bed;
let macs: Record<'a' | 'b' | 'alone', string>;

const UNREACHABLE: Record<string, string> = {
  'ethernet-truncated': 'Linux makes every frame at least a header long',
  'offload-malformed': 'the kernel makes the virtio-net header itself',
  'port-unbound': 'a workload would have to leave while its frame is handed from one worker to another',
  'service-tag-unknown': 'needs a service portal: services.test.ts has them, and this reason',
  'service-not-tracked': 'needs a service portal that speaks for itself',
  'service-portal-down': 'needs a service portal: services.test.ts has them, and this reason',
  'service-no-connection': 'needs a service portal that makes flows up',
  'service-ambiguous': 'needs a service portal that loses the tags of two tenants',
  'service-loop': 'needs a service portal: services.test.ts has them, and this reason',
  'worker-ring-full': 'a worker would have to stand still',
  'output-unsegmentable': 'what is cut wrong would have to pass the parse stage',
};

const RULES = [
  { name: 'dropped', to: { addresses: ['10.77.0.2'] }, services: [udp(7)], action: 'drop' },
  { name: 'rejected', to: { addresses: ['10.77.0.2'] }, services: [udp(8)], action: 'reject' },
  { name: 'closed', direction: 'out', services: [udp(9)], action: 'allow' },
  { name: 'ping', services: [{ protocol: 'icmp' }, { protocol: 'icmpv6' }], action: 'allow' },
  {
    name: 'echo',
    services: [udp(53), udp(4242), { protocol: 'tcp', ports: [80] }, { protocol: 'sctp' }],
    action: 'allow',
  },
];
function udp(port: number) {
  return { protocol: 'udp', ports: [port] };
}

beforeAll(async () => {
  for (const name of Object.values(netns)) createNamespace(name);
  for (const end of ['v', 't'] as const) {
    ip('link', 'add', devices[end], 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns[end]);
    ip('link', 'set', devices[end], 'up');
    ip('-n', netns[end], 'link', 'set', 'eth0', 'up');
  }
  bed = await Bed.start({
    workloads: ['a', 'b'],
    rules: RULES,
    host: {
      connections: 1024,
      limits: { connections: 100_000, halfOpen: 100_000, newPerSecond: 100_000 },
      timeouts: { udpTwoWay: 6 },
    },
    documents: [
      document('Workload', 'v', { segment: 'lan', attach: { veth: { interface: devices.v } } }),
      document('Workload', 'away', {
        segment: 'lan',
        attach: { tap: { netns: `hg${id}-away`, name: 'eth0', mac: AWAY_MAC, addresses: ['10.77.0.9/24'] } },
      }),
      document('Segment', 'red', { vlan: 10 }),
      document('Workload', 't', { segment: 'red', attach: { nic: { interface: devices.t } } }),
    ],
  });
  // `alone` lives in b's namespace: it has no traffic of its own.
  await bed.apply(
    document('Segment', 'apart', {}),
    document('Workload', 'alone', {
      segment: 'apart',
      attach: { tap: { netns: bed.netns('b'), name: 'alone0', addresses: ['10.99.0.1/32'] } },
    }),
  );
  for (const workload of ['v', 't', 'alone'])
    await waitUntil(
      `${workload} is attached`,
      async () => (await bed.attachment(workload)).state === 'attached',
    );
  const mac = async (workload: string) => (await bed.attachment(workload)).mac ?? '';
  macs = { a: await mac('a'), b: await mac('b'), alone: await mac('alone') };
  await bed.agent('b').listen({ tcp: [80], udp: [53] });
}, 60_000);
afterAll(async () => {
  await bed?.stop();
  for (const name of Object.values(netns)) deleteNamespace(name);
});

/** Has frames sent on a device of a namespace; `to`: their destination MAC. */
const send = (frames: string, from = bed.netns('a'), device = 'eth0', source = macs.a, to = macs.b) =>
  execIn(from, ['/usr/bin/python3', SENDER, frames, device, source, to]);

const metrics = () => scrape(metricsSocket(bed.folders.runDir));
const metricOf = (reason: string, direction: string) =>
  `headgate_drop_packets_total{reason="${reason}",direction="${direction}"}`;

async function counted(metric: string): Promise<number> {
  const line = (await metrics()).split('\n').find((one) => one.startsWith(`${metric} `));
  return Number(line?.slice(metric.length + 1) ?? 0);
}

/** Causes drops, and finds them named by a live trace and counted by the metric that it names. */
async function caused(
  reason: string,
  direction: 'in' | 'out',
  cause: () => Promise<unknown>,
  seconds = 20,
): Promise<void> {
  const metric = metricOf(reason, direction);
  const before = await counted(metric);
  const { id: trace } = await bed.control.post<LiveResult>('/v1/trace/live', { dropped: true });
  try {
    await cause();
    const named = await waitUntil(
      `a trace names ${reason}`,
      async () => {
        const { traces } = await bed.control.get<TakenResult>(`/v1/trace/live/${trace}?steps=true`);
        return traces.find(({ trace: one }) =>
          one.drops.some((drop) => drop.reason === reason && drop.direction === direction),
        );
      },
      seconds * 1000,
    );
    expect(named.metrics).toContain(metric);
    expect(named.hint ?? '').not.toBe('');
    expect(named.steps?.map((step) => step.reason)).toContain(reason);
  } finally {
    await bed.control.delete(`/v1/trace/live/${trace}`);
  }
  await waitUntil(`${metric} goes up`, async () => (await counted(metric)) > before);
}

/** Those for which frames of a to b are enough. */
const BY_FRAMES = [
  'ethernet-bad-source',
  'vlan-truncated',
  'vlan-too-many-tags',
  'ethertype-unsupported',
  'arp-malformed',
  'ipv4-truncated',
  'ipv4-bad-version',
  'ipv4-bad-header-length',
  'ipv4-bad-length',
  'ipv4-bad-checksum',
  'ipv4-bad-options',
  'ipv4-source-route',
  'ipv4-bad-address',
  'ipv6-truncated',
  'ipv6-bad-version',
  'ipv6-bad-length',
  'ipv6-bad-address',
  'ipv6-bad-extension',
  'ipv6-too-many-extensions',
  'ipv6-routing-header',
  'fragment-malformed',
  'fragment-tiny',
  'tcp-truncated',
  'tcp-bad-offset',
  'tcp-bad-flags',
  'udp-truncated',
  'udp-bad-length',
  'sctp-truncated',
  'icmp-truncated',
  'icmp-wrong-family',
  'nd-malformed',
  'vlan-not-allowed',
  'spoofed-mac',
  'spoofed-ipv4',
  'spoofed-ipv6',
  'spoofed-arp',
  'spoofed-nd',
  'no-other-port',
  'mac-reserved',
  'flood-limited',
  'fragment-duplicate',
  'fragment-overlap',
  'fragment-wrong-end',
  'fragments-full',
  'tcp-bad-checksum',
  'udp-bad-checksum',
  'icmp-bad-checksum',
  'icmp-error-malformed',
  'icmp-error-unrelated',
  'tcp-mid-stream',
  'tcp-unexpected-flags',
  'tcp-out-of-window',
  'tcp-bad-ack',
  'tcp-bad-reset',
  'sctp-mid-stream',
  'sctp-bad-tag',
];

const OTHERS: Record<string, { direction: 'in' | 'out'; cause: () => Promise<unknown>; seconds?: number }> = {
  // Held for its first fragment for 30 s.
  'fragment-timeout': { direction: 'out', cause: () => send('fragment-timeout'), seconds: 50 },
  'vlan-unmapped': {
    direction: 'out',
    cause: () => send('vlan-unmapped', netns.t),
  },
  'mac-limit': { direction: 'out', cause: () => send('mac-limit', netns.v) },
  'no-member': {
    direction: 'out',
    cause: () => send('no-member', bed.netns('b'), 'alone0', macs.alone),
  },
  'policy-drop': { direction: 'out', cause: () => bed.agent('a').udp(bed.ipv4('b'), 7, 200) },
  'policy-reject': { direction: 'out', cause: () => bed.agent('a').udp(bed.ipv4('b'), 8, 200) },
  'default-drop': { direction: 'in', cause: () => bed.agent('a').udp(bed.ipv4('b'), 9, 200) },
  'connection-reset': {
    direction: 'out',
    async cause() {
      const ending = (action: string) => policy([{ name: 'ending', action, onChange: 'reset' }], 'ending');
      await bed.apply(ending('allow'));
      expect(await bed.agent('a').hold('ending', bed.ipv4('b'), 80)).toMatchObject({ outcome: 'reached' });
      await bed.applyRules([]);
      await bed.apply(ending('drop'));
      await bed.agent('a').use('ending', 300);
      await bed.applyRules(RULES);
      await bed.control.delete('/v1/documents/SecurityPolicy/ending');
    },
  },
  'output-detached': {
    direction: 'in',
    cause: () => send('datagram', undefined, undefined, undefined, AWAY_MAC),
  },
  'output-down': {
    direction: 'in',
    async cause() {
      ip('-n', bed.netns('b'), 'link', 'set', 'eth0', 'down');
      await send('datagram');
      ip('-n', bed.netns('b'), 'link', 'set', 'eth0', 'up');
    },
  },
  'output-too-big': {
    direction: 'in',
    async cause() {
      await learnV();
      ip('link', 'set', devices.v, 'mtu', '600');
      await send('big datagram', undefined, undefined, undefined, V_MAC);
      ip('link', 'set', devices.v, 'mtu', '1500');
    },
  },
  'output-full': {
    direction: 'in',
    async cause() {
      await learnV();
      const slow = ['tbf', 'rate', '8kbit', 'burst', '1600', 'limit', '3000'];
      await execIn(undefined, ['tc', 'qdisc', 'replace', 'dev', devices.v, 'root', ...slow]);
      await send('many datagrams', undefined, undefined, undefined, V_MAC);
      await execIn(undefined, ['tc', 'qdisc', 'delete', 'dev', devices.v, 'root']);
    },
  },
  'connections-quota': {
    direction: 'out',
    cause: () => limited({ connections: 3 }, () => answeredFlows(10)),
  },
  'connections-rate': {
    direction: 'out',
    cause: () => limited({ newPerSecond: 1 }, () => answeredFlows(10)),
  },
  // A record that the running millisecond has used is not given up for a new one.
  'half-open-quota': {
    direction: 'out',
    cause: () => limited({ halfOpen: 1 }, () => flowsAtOnce(200)),
  },
  // Last, since the table stays full for some seconds.
  'connections-full': {
    direction: 'out',
    cause: () => answeredFlows(1500),
  },
};

/** Has v heard, so that its MAC is known. */
const learnV = () => send('datagram', netns.v, 'eth0', V_MAC);

/** While a may begin no more than this. */
async function limited(limits: Record<string, number>, cause: () => Promise<unknown>): Promise<void> {
  const a = bed.documents().find(({ kind, metadata }) => kind === 'Workload' && metadata.name === 'a');
  if (a === undefined) throw new Error('no a');
  await bed.apply({ ...a, spec: { ...a.spec, limits } });
  await cause();
  await bed.apply(a);
}

/** A datagram of each of so many flows from a to b, as fast as they go. */
const flowsAtOnce = (flows: number) =>
  execIn(bed.netns('a'), [
    '/usr/bin/python3',
    '-c',
    `
import socket
all = []
for source in range(30000, 30000 + ${flows}):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("", source))
    one.connect(("${bed.ipv4('b')}", 4242))
    all.append(one)
for one in all: one.send(b"x")
`,
  ]);

/** Opens UDP flows from a that b answers: established ones, which nothing evicts. */
const answeredFlows = (flows: number) =>
  execIn(bed.netns('a'), [
    '/usr/bin/python3',
    '-c',
    `
import socket
silent = 0
for source in range(20000, 20000 + ${flows}):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("", source))
        one.connect(("${bed.ipv4('b')}", 53))
        one.send(b"x")
        if silent < 5:
            one.settimeout(0.2)
            try: one.recv(10)
            except OSError: silent += 1
`,
  ]);

test.each(BY_FRAMES)('%s', (reason) => caused(reason, 'out', () => send(reason)), 30_000);
test.each(Object.entries(OTHERS))(
  '%s',
  (reason, { direction, cause, seconds }) => caused(reason, direction, cause, seconds),
  60_000,
);

test('a verdict of the default is named as one, with where it is set', async () => {
  const simulated = await bed.control.post<SimulateResult>('/v1/trace/simulate', {
    packets: [{ from: 'a', to: 'b', protocol: 17, destinationPort: 9 }],
  });
  const [answer] = simulated.traces;
  expect(answer?.outcome).toBe('dropped');
  const decided = answer?.steps?.filter(({ stage }) => stage === 'classify') ?? [];
  expect(decided.map(({ verdict }) => verdict?.rule?.id)).toEqual(['test/closed', undefined]);
  expect(decided[1]?.verdict?.section?.text).toContain('default');
});

test('no reason is missing here', () => {
  const names = [...readFileSync(REASONS, 'utf8').matchAll(/^REASON\(\w+, "([a-z0-9-]+)"/gm)].map(
    ([, name]) => name ?? '',
  );
  expect(names.length).toBeGreaterThan(50);
  const tunnels = [...Object.keys(BAD_PACKETS), ...Object.keys(ELSEWHERE)];
  const tried = [...BY_FRAMES, ...Object.keys(OTHERS), ...Object.keys(UNREACHABLE), ...tunnels];
  expect(tried.toSorted()).toEqual(names.toSorted());
});
