// Frames with a forged sender do not pass: MAC, IPv4, IPv6, ARP and neighbour discovery, each counted with its reason.
//
//     a (10.77.0.1, fd77::1) ---TAP--- Headgate (allows all) ---TAP--- b (10.77.0.2, fd77::2)
//     scapy sends raw frames on a's eth0; tcpdump on b's eth0 must not see them
import { afterAll, beforeAll, expect, test } from 'vitest';
import { execIn, spawnIn, waitUntil } from '../../src/lab/namespaces.js';
import { ALLOW_ALL, Bed } from './bed.js';

let bed: Bed;
let macs: { a: string; b: string };

beforeAll(async () => {
  bed = await Bed.start({ workloads: ['a', 'b'], rules: ALLOW_ALL });
  macs = { a: (await bed.attachment('a')).mac ?? '', b: (await bed.attachment('b')).mac ?? '' };
}, 60_000);
afterAll(() => bed?.stop());

const DATA = 'UDP(sport=4242, dport=4242) / Raw(b"forged")';
const ETHER = 'Ether(src=a, dst=b)';
const cases: [string, string][] = [
  ['spoofed-mac', `Ether(src="02:66:66:66:66:66", dst=b) / IP(src="10.77.0.1", dst="10.77.0.2") / ${DATA}`],
  ['spoofed-ipv4', `${ETHER} / IP(src="10.77.0.66", dst="10.77.0.2") / ${DATA}`],
  ['spoofed-ipv6', `${ETHER} / IPv6(src="fd77::66", dst="fd77::2") / ${DATA}`],
  [
    'spoofed-arp',
    `Ether(src=a, dst="ff:ff:ff:ff:ff:ff") / ARP(op=2, hwsrc=a, psrc="10.77.0.66", pdst="10.77.0.2")`,
  ],
  [
    'spoofed-nd',
    `Ether(src=a, dst="33:33:00:00:00:01") / IPv6(src="fd77::1", dst="ff02::1", hlim=255) / ` +
      `ICMPv6ND_NA(tgt="fd77::66", R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=a)`,
  ],
];

/** Sends frames on a's device: an expression of scapy, with a and b the MACs. */
const send = (frame: string, count: number) =>
  execIn(bed.netns('a'), [
    '/usr/bin/python3',
    '-c',
    `
from scapy.all import *
a, b = "${macs.a}", "${macs.b}"
sendp([${frame}] * ${count}, iface="eth0", verbose=0)
`,
  ]);

/** What tcpdump sees on b's device while an action runs, up to a genuine frame that is sent last. */
async function seenAtB(filter: string, action: () => Promise<unknown>): Promise<string> {
  const last = 'udp port 4343';
  const dump = spawnIn(bed.netns('b'), ['tcpdump', '-n', '-e', '-l', '-i', 'eth0', `(${filter}) or ${last}`]);
  let [seen, said] = ['', ''];
  dump.stdout?.on('data', (data: Buffer) => (seen += data.toString()));
  dump.stderr?.on('data', (data: Buffer) => (said += data.toString()));
  await waitUntil('tcpdump listens', () => said.includes('listening on'));
  await action();
  await send(
    `${ETHER} / IP(src="10.77.0.1", dst="10.77.0.2") / UDP(sport=4343, dport=4343) / Raw(b"last")`,
    1,
  );
  await waitUntil('the genuine frame arrives', () => seen.includes('.4343:'));
  dump.kill('SIGKILL');
  return seen
    .split('\n')
    .filter((line) => line !== '' && !line.includes('.4343:'))
    .join('\n');
}

test.each(cases)('%s', async (reason, frame) => {
  const before = await bed.drops(reason, 'a');
  const seen = await seenAtB('udp port 4242 or arp[14:4] = 0x0a4d0042 or icmp6[20:4] = 0x66', () =>
    send(frame, 20),
  );
  expect(seen).toBe('');
  expect((await bed.drops(reason, 'a')) - before).toBe(20);
});

test('the same frames with the genuine sender arrive', async () => {
  const genuine = `${ETHER} / IP(src="10.77.0.1", dst="10.77.0.2") / ${DATA}`;
  const seen = await seenAtB('udp port 4242', () => send(genuine, 3));
  expect(seen.split('\n')).toHaveLength(3);
});
