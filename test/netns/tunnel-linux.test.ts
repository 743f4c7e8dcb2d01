// Headgate against the kernel's own VXLAN device: a host that has no Headgate, over IPv4 and IPv6. Both are on one kernel,
// which leaves checksums undone and super-frames whole on the way from its device; ports/join.h says what comes of that.
//
//   [w1]---TAP--- Headgate --socket-- [under-1] ==veth== [under-2: vxlan device vx, 10.77.2.1/16, fd77::2:1]
import { afterEach, describe, expect, test } from 'vitest';
import { execIn, ip, waitUntil } from '../../src/lab/namespaces.js';
import { Agent } from '../../src/lab/probe.js';
import { transfer } from './tunnel-transfer.js';
import { TunnelHost, Underlay, underlayAddress } from './tunnel-bed.js';

let underlay: Underlay;
let host: TunnelHost | undefined;
let far: Agent | undefined;

afterEach(async () => {
  await far?.close();
  await host?.stop();
  underlay.remove();
});

async function start(family: 4 | 6, vni = 4242): Promise<[TunnelHost, Agent]> {
  underlay = new Underlay();
  const netns = underlay.netns(2);
  const [local, remote] = [underlayAddress(2, family), underlayAddress(1, family)];
  const mtu = family === 4 ? '1450' : '1430';
  ip(
    '-n',
    netns,
    'link',
    'add',
    'vx',
    'type',
    'vxlan',
    'id',
    String(vni),
    'dstport',
    '4789',
    'local',
    local,
    'remote',
    remote,
    'dev',
    'under',
  );
  ip('-n', netns, 'link', 'set', 'vx', 'mtu', mtu, 'up');
  ip('-n', netns, 'address', 'add', '10.77.2.1/16', 'dev', 'vx');
  ip('-n', netns, 'address', 'add', 'fd77::2:1/64', 'dev', 'vx', 'nodad');
  host = await TunnelHost.start({ underlay, number: 1, family, mtu: Number(mtu) });
  far = await Agent.start(netns);
  return [host, far];
}

describe.each([4, 6] as const)('over IPv%s', (family) => {
  test('TCP, UDP and ICMP, and bulk TCP both ways', async () => {
    const [one, two] = await start(family);
    await two.listen({ tcp: [80], udp: [53] });
    await one.agent().listen({ tcp: [80], udp: [53] });
    for (const [from, to] of [
      [one.agent(), '10.77.2.1'],
      [one.agent(), 'fd77::2:1'],
      [two, one.ipv4()],
      [two, one.ipv6()],
    ] as const) {
      expect(await from.ping(to)).toMatchObject({ outcome: 'reached' });
      expect(await from.tcp(to, 80)).toMatchObject({ outcome: 'reached' });
      expect(await from.udp(to, 53)).toMatchObject({ outcome: 'reached' });
    }
    for (const address of ['10.77.2.1', 'fd77::2:1'])
      await transfer(one.netns(), underlay.netns(2), address, 16 << 20);
    for (const address of [one.ipv4(), one.ipv6()])
      await transfer(underlay.netns(2), one.netns(), address, 16 << 20);
    const { received = 0 } = await counts(one);
    expect(received).toBeGreaterThan(0);
    for (const reason of Object.keys(await one.allDrops()))
      expect(reason).not.toMatch(/^(tunnel|vxlan|output-[^d]|tcp|ipv)/);
  }, 60_000);
});

async function counts(one: TunnelHost): Promise<{ received: number }> {
  const { workloads } = await one.stats();
  return { received: workloads.find(({ workload }) => workload === 'w1')?.receivedPackets ?? 0 };
}

test('with another VNI nothing passes, either way', async () => {
  const [one, two] = await start(4, 4243);
  expect(await one.agent().ping('10.77.2.1')).toMatchObject({ outcome: 'silent' });
  expect(await two.ping(one.ipv4())).toMatchObject({ outcome: 'silent' });
  expect(await one.drops('tunnel-unknown-key')).toBeGreaterThan(0);
}, 30_000);

test('the same where the device does all of its work itself', async () => {
  const [one] = await start(4);
  await execIn(underlay.netns(2), ['ethtool', '-K', 'vx', 'tx', 'off', 'gso', 'off', 'tso', 'off']);
  await waitUntil(
    'they reach each other',
    async () => (await one.agent().ping('10.77.2.1')).outcome === 'reached',
  );
  await transfer(one.netns(), underlay.netns(2), '10.77.2.1', 4 << 20);
  await transfer(underlay.netns(2), one.netns(), one.ipv4(), 4 << 20);
}, 60_000);
