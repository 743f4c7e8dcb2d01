// The other ways to attach: a veth, and a NIC that carries several segments as VLANs.
//
//     a 10.77.0.1 ----TAP---+
//                           +-- Headgate, segment "lan", VLAN 10 ---+
//     v 10.77.0.2 ----veth--+                                       |                +-- x 10.77.0.3
//                                                                 trunk === relay ---+
//     d 10.77.20.1 ---TAP------ Headgate, segment "other", VLAN 20 -+                +-- y 10.77.20.3
//
// In place of a machine's NIC stands the end of a veth pair; the relay (vlan-relay.py) takes the tags off behind it.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fileURLToPath } from 'node:url';
import {
  createNamespace,
  deleteNamespace,
  execIn,
  ip,
  spawnIn,
  waitUntil,
} from '../../src/lab/namespaces.js';
import { Agent } from '../../src/lab/probe.js';
import { ALLOW_ALL, Bed, document, policy } from './bed.js';

const RELAY = fileURLToPath(new URL('vlan-relay.py', import.meta.url));
const id = String(process.pid);
const [veth, trunk] = [`hgv${id}`, `hgt${id}`];
const netns = { v: `hg${id}-v`, relay: `hg${id}-relay`, x: `hg${id}-x`, y: `hg${id}-y` };
const agents: Record<string, Agent> = {};
let bed: Bed;

const agent = (name: string): Agent => agents[name] ?? bed.agent(name);
const netnsOf = (name: string): string =>
  name in netns ? netns[name as keyof typeof netns] : bed.netns(name);

/** A veth from `outer` (undefined: here) called `device` to eth0 in a namespace, both up. */
function join(device: string, outer: string | undefined, inner: string, address?: string): void {
  const there = outer === undefined ? [] : ['-n', outer];
  ip(...there, 'link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', inner);
  ip(...there, 'link', 'set', device, 'up');
  ip('-n', inner, 'link', 'set', 'eth0', 'up');
  if (address !== undefined) ip('-n', inner, 'address', 'add', address, 'dev', 'eth0');
}

beforeAll(async () => {
  for (const name of Object.values(netns)) createNamespace(name);
  join(veth, undefined, netns.v, '10.77.0.2/24');
  join(trunk, undefined, netns.relay);
  join('p10', netns.relay, netns.x, '10.77.0.3/24');
  join('p20', netns.relay, netns.y, '10.77.20.3/24');
  const offloadsOff = (device: string) => [
    'ethtool',
    '-K',
    device,
    'tx',
    'off',
    'tso',
    'off',
    'gso',
    'off',
    'gro',
    'off',
  ];
  await execIn(undefined, offloadsOff(trunk));
  for (const end of [netns.x, netns.y]) await execIn(end, offloadsOff('eth0'));
  const relay = spawnIn(netns.relay, ['/usr/bin/python3', RELAY, '10=p10', '20=p20']);
  let said = '';
  relay.stdout?.on('data', (data: Buffer) => (said += data.toString()));
  await waitUntil('the relay runs', () => said.includes('relaying'));

  bed = Bed.make({ workloads: ['a', 'd'] });
  await bed.startHeadgate();
  const tap = (name: string, address: string) => ({
    tap: { netns: bed.netns(name), name: 'eth0', addresses: [address] },
  });
  await bed.apply(
    document('Segment', 'lan', { vlan: 10 }),
    document('Segment', 'other', { vlan: 20 }),
    document('Workload', 'a', { segment: 'lan', attach: tap('a', '10.77.0.1/24') }),
    document('Workload', 'd', { segment: 'other', attach: tap('d', '10.77.20.1/24') }),
    document('Workload', 'v', {
      segment: 'lan',
      attach: { veth: { interface: veth } },
      addresses: ['10.77.0.2'],
    }),
    document('Workload', 'uplink', { segment: 'lan', attach: { nic: { interface: trunk } } }),
    document('Workload', 'uplink-other', { segment: 'other', attach: { nic: { interface: trunk } } }),
    policy(ALLOW_ALL),
  );
  for (const workload of ['a', 'd', 'v', 'uplink', 'uplink-other']) {
    await waitUntil(
      `${workload} is attached`,
      async () => (await bed.attachment(workload)).state === 'attached',
    );
  }
  await bed.startAgents();
  for (const name of ['v', 'x', 'y']) agents[name] = await Agent.start(netnsOf(name));
  for (const name of ['a', 'd', 'v', 'x', 'y']) await agent(name).listen({ tcp: [80], udp: [53] });
}, 60_000);

afterAll(async () => {
  for (const one of Object.values(agents)) await one.close();
  await bed?.stop();
  for (const name of Object.values(netns)) deleteNamespace(name);
});

test.each([
  ['a', 'v', '10.77.0.2', 'TAP to veth'],
  ['v', 'a', '10.77.0.1', 'veth to TAP'],
  ['a', 'x', '10.77.0.3', 'TAP to VLAN 10 of the trunk'],
  ['x', 'a', '10.77.0.1', 'VLAN 10 of the trunk to TAP'],
  ['v', 'x', '10.77.0.3', 'veth to VLAN 10 of the trunk'],
  ['d', 'y', '10.77.20.3', 'TAP to VLAN 20 of the trunk'],
  ['y', 'd', '10.77.20.1', 'VLAN 20 of the trunk to TAP'],
])('%s reaches %s at %s: %s', async (from, _to, address) => {
  expect(await agent(from).ping(address, 4000)).toMatchObject({ outcome: 'reached' });
  expect(await agent(from).tcp(address, 80, 4000)).toMatchObject({ outcome: 'reached' });
  expect(await agent(from).udp(address, 53)).toMatchObject({ outcome: 'reached' });
});

test.each([
  ['a', 'v', '10.77.0.2', 100],
  ['a', 'x', '10.77.0.3', 5],
  ['v', 'x', '10.77.0.3', 5],
])(
  'bulk TCP between %s and %s goes both ways',
  async (from, to, address, least) => {
    for (const direction of [[], ['--reverse']])
      expect(await megabits(from, to, address, direction)).toBeGreaterThan(least);
  },
  30_000,
);

test('the segments stay apart', async () => {
  ip('-n', bed.netns('d'), 'address', 'add', '10.77.0.99/24', 'dev', 'eth0');
  expect(await agent('d').ping('10.77.0.1')).not.toMatchObject({ outcome: 'reached' });
  ip('-n', netns.y, 'address', 'add', '10.77.0.98/24', 'dev', 'eth0');
  expect(await agent('y').ping('10.77.0.3')).not.toMatchObject({ outcome: 'reached' });
});

async function megabits(from: string, to: string, address: string, more: string[]): Promise<number> {
  const serving = execIn(netnsOf(to), ['iperf3', '--server', '--one-off']).catch(() => '');
  const listens = async () => (await execIn(netnsOf(to), ['ss', '-ltnH', 'sport = :5201'])) !== '';
  await waitUntil('iperf3 listens', listens);
  const text = await execIn(netnsOf(from), ['iperf3', '--client', address, '--time', '1', '--json', ...more]);
  await serving;
  return (
    (JSON.parse(text) as { end: { sum_received: { bits_per_second: number } } }).end.sum_received
      .bits_per_second / 1e6
  );
}
