// What Headgate puts on the underlay, as another program reads it: captured there and decoded by tshark, field by field,
// with every checksum looked at and no packet malformed. tunnel-bed.ts draws the topology.
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { execIn, spawnIn, waitUntil } from '../../src/lab/namespaces.js';
import { transfer } from './tunnel-transfer.js';
import { TunnelHost, Underlay, underlayAddress, underlayMac } from './tunnel-bed.js';

let underlay: Underlay;
const hosts: TunnelHost[] = [];
const file = join(tmpdir(), `hg-tunnel-${process.pid}.pcap`);

afterEach(async () => {
  for (const host of hosts.splice(0)) await host.stop();
  underlay.remove();
  rmSync(file, { force: true });
});

/** Captures on the underlay while `act` runs, until `last` packets of a display filter are there. */
async function captured(filter: string, last: [string, number], act: () => Promise<void>): Promise<void> {
  // Nothing is left to devices, so that the capture has what a wire would have.
  for (const host of [1, 2]) {
    const off = ['rx', 'tx', 'gso', 'tso', 'gro', 'tx-udp-segmentation'].flatMap((one) => [one, 'off']);
    await execIn(underlay.netns(host), ['ethtool', '-K', 'under', ...off]);
  }
  const tcpdump = spawnIn(
    underlay.netns(1),
    ['tcpdump', '-Z', 'root', '-U', '--immediate-mode', '-i', 'under', '-w', file, filter],
    ['ignore', 'ignore', 'pipe'],
  );
  let said = '';
  tcpdump.stderr?.on('data', (data: Buffer) => (said += data.toString()));
  await waitUntil('tcpdump listens', () => said.includes('listening'));
  await act();
  await waitUntil('the last packet is in the file', () => count(last[0]) >= last[1]);
  const ended = new Promise((resolve) => tcpdump.once('exit', resolve));
  tcpdump.kill('SIGINT');
  await ended;
}

const tshark = (...args: string[]): string =>
  execFileSync(
    'tshark',
    [
      '-n',
      '-r',
      file,
      '-o',
      'tcp.check_checksum:TRUE',
      '-o',
      'udp.check_checksum:TRUE',
      '-o',
      'ip.check_checksum:TRUE',
      ...args,
    ],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 256 * 2 ** 20,
    },
  );
/** The distinct values of fields, a line each. */
const values = (fields: string[], filter: string): string[] => {
  const text = tshark(
    '-Y',
    filter,
    '-T',
    'fields',
    '-E',
    'separator=;',
    ...fields.flatMap((field) => ['-e', field]),
  );
  return [...new Set(text.trim().split('\n'))].sort();
};
const count = (filter: string): number => tshark('-Y', filter).split('\n').length - 1;

const NSH = 4242 * 256 + 255;
const cases: [string, object, string, string[], string][] = [
  ['vxlan', {}, 'udp port 4789', ['vxlan.flags', 'vxlan.vni', 'udp.dstport'], '0x0800;4242;4789,'],
  [
    'geneve',
    { options: [{ class: 0x0102, type: 0x83, data: '0a0b0c0d' }] },
    'udp port 6081',
    [
      'geneve.version',
      'geneve.flags.critical',
      'geneve.proto_type',
      'geneve.vni',
      'geneve.option.class',
      'geneve.option.type',
      'geneve.option.length',
      'geneve.option.unknown.data',
    ],
    '0;1;0x6558;0x001092;0x0102;0x83;8,8;0a0b0c0d',
  ],
  ['gre', {}, 'proto gre', ['gre.flags_and_version', 'gre.proto', 'gre.key'], '0x2000;0x6558;0x00001092'],
  ['nvgre', {}, 'proto gre', ['gre.flags_and_version', 'gre.proto', 'gre.key'], '0x2000;0x6558;0x00109200'],
  [
    'nsh',
    { options: [{ class: 1, type: 2, data: '01020304' }] },
    'udp port 4790',
    [
      'vxlan.p_bit',
      'vxlan.next_proto',
      'nsh.version',
      'nsh.ttl',
      'nsh.length',
      'nsh.mdtype',
      'nsh.nextproto',
      'nsh.spi',
      'nsh.si',
      'nsh.metadataclass',
      'nsh.metadatatype',
      'nsh.metadatalen',
    ],
    `1;4;0;0x003f;4;2;3;4242;255;1;2;0x04`,
  ],
  [
    'nsh-ethernet',
    { context: '00112233445566778899aabbccddeeff' },
    'ether proto 0x894f',
    [
      'nsh.version',
      'nsh.ttl',
      'nsh.length',
      'nsh.mdtype',
      'nsh.nextproto',
      'nsh.spi',
      'nsh.si',
      'nsh.contextheader',
    ],
    '0;0x003f;6;1;3;4242;255;00112233,44556677,8899aabb,ccddeeff',
  ],
];

test.each(cases)(
  '%s is what tshark says it is',
  async (encapsulation, more, filter, fields, wanted) => {
    underlay = new Underlay();
    for (const number of [1, 2] as const)
      hosts.push(await TunnelHost.start({ underlay, number, mtu: 1400, tunnel: { encapsulation, ...more } }));
    const [one, two] = hosts as [TunnelHost, TunnelHost];
    await captured(filter, ['tcp.flags.fin == 1', 2], async () => {
      expect(await one.agent().ping(two.ipv4())).toMatchObject({ outcome: 'reached' });
      expect(await one.agent().ping(two.ipv6())).toMatchObject({ outcome: 'reached' });
      await transfer(one.netns(), two.netns(), two.ipv4(), 300_000);
    });
    const all = count('frame');
    expect(all).toBeGreaterThan(230);
    expect(count('_ws.malformed'), tshark('-Y', '_ws.malformed', '-V').slice(0, 4000)).toBe(0);
    expect(count('ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0')).toBe(0);
    const found = values(fields, 'tcp || icmp || icmpv6');
    // tshark lists the inner UDP port beside the outer one; there is none in TCP.
    expect(found.map((line) => line.replace(/,$/, ''))).toEqual([wanted.replace(/,$/, '')]);
    const ends = encapsulation === 'nsh-ethernet' ? ['eth.src', 'eth.dst'] : ['ip.src', 'ip.dst'];
    const address = encapsulation === 'nsh-ethernet' ? underlayMac : (host: number) => underlayAddress(host);
    const inner = encapsulation === 'nsh-ethernet' ? undefined : `${one.ipv4()}`;
    const [first = ''] = values(ends, 'tcp.flags.syn == 1 && tcp.flags.ack == 0');
    expect(first.split(';')[0]?.split(',')[0]).toBe(address(1));
    expect(first.split(';')[1]?.split(',')[0]).toBe(address(2));
    if (inner !== undefined) expect(first.split(';')[0]?.split(',')[1]).toBe(inner);
    if (encapsulation === 'nsh') expect(values(['vxlan.vni'], 'nsh')).toEqual(['4242']);
    expect(NSH >> 8).toBe(4242);
  },
  60_000,
);

test('a capture with a header that is cut off is called malformed: tshark would have said so', async () => {
  underlay = new Underlay();
  await captured('udp port 6081', ['frame', 1], async () => {
    // Geneve of 4 bytes of options, of which none are there.
    const send = `import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(bytes.fromhex('0100655800109200'), ('192.0.2.2', 6081))`;
    await execIn(underlay.netns(1), ['python3', '-c', send]);
  });
  expect(count('_ws.malformed')).toBe(1);
}, 30_000);
