// The other ways to attach: a veth, and a NIC that carries several segments as VLANs.
//
//     a 10.77.0.1 ---TAP---+
//     v 10.77.0.2 ---veth--+ Headgate, segment "lan" (VLAN 10 on the trunk)
//                          |
//     trunk: hgt<pid> ===== t: eth0.10 10.77.0.3, eth0.20 10.77.20.3
//                          |
//     d 10.77.20.1 ---TAP--+ segment "other" (VLAN 20)
//
// In place of a machine's NIC stands the end of a veth pair whose other end, in namespace t, has VLAN devices.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createNamespace, deleteNamespace, execIn, ip, waitUntil } from '../../src/lab/namespaces.js';
import { Agent } from '../../src/lab/probe.js';
import { ALLOW_ALL, Bed, document, policy } from './bed.js';

let bed: Bed;
const id = String(process.pid);
const [veth, trunk] = [`hgv${id}`, `hgt${id}`];
const [behindVeth, behindTrunk] = [`hg${id}-v`, `hg${id}-t`];
const agents: Agent[] = [];

beforeAll(async () => {
  for (const [netns, device] of [
    [behindVeth, veth],
    [behindTrunk, trunk],
  ] as const) {
    createNamespace(netns);
    ip('link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns);
    ip('link', 'set', device, 'up');
    ip('-n', netns, 'link', 'set', 'eth0', 'up');
  }
  for (const address of ['10.77.0.2/24', 'fd77::2/64']) {
    ip(
      '-n',
      behindVeth,
      'address',
      'add',
      address,
      'dev',
      'eth0',
      ...(address.includes(':') ? ['nodad'] : []),
    );
  }
  for (const vlan of ['10', '20']) {
    ip('-n', behindTrunk, 'link', 'add', 'link', 'eth0', 'name', `eth0.${vlan}`, 'type', 'vlan', 'id', vlan);
    ip('-n', behindTrunk, 'link', 'set', `eth0.${vlan}`, 'up');
  }
  ip('-n', behindTrunk, 'address', 'add', '10.77.0.3/24', 'dev', 'eth0.10');
  ip('-n', behindTrunk, 'address', 'add', '10.77.20.3/24', 'dev', 'eth0.20');

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
      addresses: ['10.77.0.2', 'fd77::2'],
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
  agents.push(await Agent.start(behindVeth), await Agent.start(behindTrunk));
  for (const agent of [bed.agent('a'), bed.agent('d'), ...agents])
    await agent.listen({ tcp: [80], udp: [53] });
}, 60_000);

afterAll(async () => {
  for (const agent of agents) agent.close();
  await bed?.stop();
  for (const netns of [behindVeth, behindTrunk]) deleteNamespace(netns);
});

test('TAP to veth and back', async () => {
  expect(await bed.agent('a').tcp('10.77.0.2', 80, 4000)).toMatchObject({ outcome: 'reached' });
  expect(await agents[0]?.udp('10.77.0.1', 53)).toMatchObject({ outcome: 'reached' });
});

test('TAP to the trunk: the frames carry the VLAN of their segment', async () => {
  expect(await bed.agent('a').tcp('10.77.0.3', 80, 4000)).toMatchObject({ outcome: 'reached' });
  expect(await bed.agent('d').tcp('10.77.20.3', 80, 4000)).toMatchObject({ outcome: 'reached' });
  expect(await agents[1]?.ping('10.77.0.1')).toMatchObject({ outcome: 'reached' });
  expect(await agents[1]?.ping('10.77.20.1')).toMatchObject({ outcome: 'reached' });
});

test('veth to the trunk', async () => {
  expect(await agents[0]?.tcp('10.77.0.3', 80, 4000)).toMatchObject({ outcome: 'reached' });
});

test('bulk TCP goes through each of them, in both directions', async () => {
  for (const [from, to] of [
    [bed.netns('a'), '10.77.0.2'],
    [bed.netns('a'), '10.77.0.3'],
    [behindVeth, '10.77.0.3'],
  ] as const) {
    const server = to === '10.77.0.2' ? behindVeth : behindTrunk;
    for (const direction of [[], ['--reverse']])
      expect(await megabits(from, server, to, direction)).toBeGreaterThan(50);
  }
}, 60_000);

test('the segments stay apart', async () => {
  ip('-n', bed.netns('d'), 'address', 'add', '10.77.0.99/24', 'dev', 'eth0');
  expect(await bed.agent('d').tcp('10.77.0.1', 80)).not.toMatchObject({ outcome: 'reached' });
});

async function megabits(from: string, server: string, to: string, more: string[]): Promise<number> {
  const serving = execIn(server, ['iperf3', '--server', '--one-off']).catch(() => '');
  await waitUntil(
    'iperf3 listens',
    async () => (await execIn(server, ['ss', '-ltnH', 'sport = :5201'])) !== '',
  );
  const text = await execIn(from, ['iperf3', '--client', to, '--time', '1', '--json', ...more]);
  await serving;
  return (
    (JSON.parse(text) as { end: { sum_received: { bits_per_second: number } } }).end.sum_received
      .bits_per_second / 1e6
  );
}
