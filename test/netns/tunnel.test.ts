// Two Headgates joined by every encapsulation, over IPv4 and IPv6: workloads reach each other, each host enforces its own
// rules, and bulk TCP comes whole. tunnel-bed.ts draws the topology.
import { afterEach, describe, expect, test } from 'vitest';
import { waitUntil } from '../../src/lab/namespaces.js';
import { transfer } from './tunnel-transfer.js';
import { TunnelHost, Underlay, type HostOptions } from './tunnel-bed.js';

let underlay: Underlay;
let hosts: TunnelHost[] = [];

async function start(options: Omit<HostOptions, 'underlay' | 'number'>[]): Promise<[TunnelHost, TunnelHost]> {
  underlay = new Underlay();
  const [first, second = first] = options;
  hosts = [await TunnelHost.start({ underlay, number: 1, ...first })];
  hosts.push(await TunnelHost.start({ underlay, number: 2, ...second }));
  return hosts as [TunnelHost, TunnelHost];
}

afterEach(async () => {
  for (const host of hosts.splice(0)) await host.stop();
  underlay.remove();
});

const KINDS = ['vxlan', 'geneve', 'gre', 'nvgre', 'nsh', 'nsh-ethernet'];

describe.each(KINDS)('%s', (encapsulation) => {
  test.each(encapsulation === 'nsh-ethernet' ? [4 as const] : [4 as const, 6 as const])(
    'over IPv%s: TCP, UDP and ICMP of both families, and bulk TCP that loses nothing',
    async (family) => {
      const [one, two] = await start([{ tunnel: { encapsulation }, family, mtu: 1400 }]);
      await two.agent().listen({ tcp: [80], udp: [53] });
      for (const address of [two.ipv4(), two.ipv6()]) {
        expect(await one.agent().ping(address), one.log()).toMatchObject({ outcome: 'reached' });
        expect(await one.agent().tcp(address, 80)).toMatchObject({ outcome: 'reached' });
        expect(await one.agent().udp(address, 53)).toMatchObject({ outcome: 'reached' });
        await transfer(one.netns(), two.netns(), address, 32 << 20);
      }
      for (const host of [one, two])
        for (const reason of Object.keys(await host.allDrops()))
          expect(reason).not.toMatch(/^(tunnel|vxlan|gre|geneve|nsh|output-[^d]|tcp)/);
    },
    60_000,
  );
});

test('each host enforces its own rules, and what has no key or peer is counted', async () => {
  const allow = { name: 'web', services: [{ protocol: 'tcp', ports: [80] }], action: 'allow' };
  const [one, two] = await start([{ default: 'allow', rules: [] }, { rules: [allow] }]);
  await two.agent().listen({ tcp: [80, 81] });
  expect(await one.agent().tcp(two.ipv4(), 80)).toMatchObject({ outcome: 'reached' });
  expect(await one.agent().tcp(two.ipv4(), 81)).toMatchObject({ outcome: 'silent' });
  expect(await two.drops('default-drop')).toBeGreaterThan(0);
  expect(await one.drops('default-drop')).toBe(0);

  // The far side is a place of the segment, named by tunnel, VNI and remote.
  const flow = (await two.flows()).flows.find(({ destinationPort }) => destinationPort === 80);
  expect(flow?.verdicts).toContainEqual(
    expect.objectContaining({ workload: 'overlay/4242/192.0.2.1', action: 'allow' }),
  );

  await two.apply({ ...two.documents()[1]!, spec: { vni: 4243, tunnels: ['overlay'] } });
  expect(await one.agent().tcp(two.ipv4(), 80)).toMatchObject({ outcome: 'silent' });
  expect(await two.drops('tunnel-unknown-key')).toBeGreaterThan(0);

  const [tunnel, segment] = two.documents();
  await two.apply({ ...tunnel!, spec: { ...tunnel!.spec, remotes: ['192.0.2.9'] } }, segment!);
  expect(await one.agent().tcp(two.ipv4(), 80)).toMatchObject({ outcome: 'silent' });
  expect(await two.drops('tunnel-unknown-peer')).toBeGreaterThan(0);

  await two.apply(...two.documents());
  await waitUntil('they reach each other again', async () => {
    return (await one.agent().tcp(two.ipv4(), 80)).outcome === 'reached';
  });
}, 60_000);
