// For each reason that a tunnel refuses a packet for, a real one from the underlay: counted under that reason alone.
// tunnel-bed.ts draws the topology; host 2 is a program that sends what no host would.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ip, waitUntil } from '../../src/lab/namespaces.js';
import { BAD_PACKETS, sendBad } from './tunnel-reasons.js';
import { TunnelHost, Underlay, underlayMac } from './tunnel-bed.js';
import { document } from './bed.js';

const OVERLAYS = ['vxlan', 'geneve', 'gre', 'nsh'];

let underlay: Underlay;
let host: TunnelHost;

beforeAll(async () => {
  underlay = new Underlay();
  ip('-n', underlay.netns(2), 'address', 'add', '192.0.2.77/24', 'dev', 'under');
  const where = { netns: underlay.netns(1), local: '192.0.2.1' };
  host = await TunnelHost.start({
    underlay,
    number: 1,
    documents: [
      ...OVERLAYS.slice(1).map((encapsulation, i) =>
        document('Tunnel', encapsulation, { ...where, encapsulation, remotes: [`192.0.2.${i + 2}`] }),
      ),
      document('Tunnel', 'nsh-ethernet', {
        netns: underlay.netns(1),
        interface: 'under',
        encapsulation: 'nsh-ethernet',
        remotes: [underlayMac(2)],
      }),
      // Each in a segment of its own: one remote is in no segment twice.
      ...[...OVERLAYS.slice(1), 'nsh-ethernet'].map((name, i) =>
        document('Segment', `seg-${i}`, { vni: 5000 + i, tunnels: [name] }),
      ),
    ],
  });
}, 60_000);

afterAll(async () => {
  await host?.stop();
  underlay.remove();
});

describe('a packet of the underlay', () => {
  test.each(Object.entries(BAD_PACKETS))('is dropped as %s', async (reason, packet) => {
    const before = await host.drops(reason);
    sendBad(underlay.netns(2), packet);
    await waitUntil(
      `${reason} is counted`,
      async () => (await host.drops(reason)) === before + 1,
      3000,
    ).catch(() => undefined);
    expect(await host.allDrops()).toMatchObject({ [reason]: before + 1 });
  });
});

test('what comes from one remote goes to no other', async () => {
  const [tunnel] = host.documents();
  await host.apply({ ...tunnel!, spec: { ...tunnel!.spec, remotes: ['192.0.2.2', '192.0.2.77'] } });
  const frame = (to: string, from: string) =>
    `0800000000109200${to}${from}0800${'450000140000400040fd'}0000${'0a4d02630a4d0264'}`;
  const checksummed = (hex: string) => hex.replace('40fd0000', '40fd' + checksum(hex.slice(44, 84)));
  sendBad(underlay.netns(2), {
    encapsulation: 'vxlan',
    to: 4789,
    stranger: true,
    bytes: checksummed(frame('020000000098', '020000000099')),
  });
  sendBad(underlay.netns(2), {
    encapsulation: 'vxlan',
    to: 4789,
    bytes: checksummed(frame('020000000099', '020000000098')),
  });
  await waitUntil('it is counted', async () => (await host.drops('split-horizon')) === 1);
}, 30_000);

function checksum(header: string): string {
  let sum = 0;
  for (const [word] of header.matchAll(/.{4}/g)) sum += parseInt(word, 16);
  while (sum > 0xffff) sum = (sum >>> 16) + (sum & 0xffff);
  return (0xffff - sum).toString(16).padStart(4, '0');
}
