// Packets as bytes, held against tcpdump and tshark: what is built has right checksums and reads as it was described; a
// line that tcpdump prints of it reads back to the same packet; captures are read and written as those programs do.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildFrame, type FrameFields, type IpFields } from '../../src/trace/build.js';
import { dissect } from '../../src/trace/dissect.js';
import { flagLetters, parseFlags } from '../../src/trace/names.js';
import { readCapture } from '../../src/trace/read-capture.js';
import { parseTcpdumpLine } from '../../src/trace/tcpdump-line.js';
import { PcapngWriter } from '../../src/trace/write-pcapng.js';
import { readPcap, writePcap } from '../golden/pcap.js';
import { Random } from '../support/random.js';

const A = '02:00:00:00:00:01';
const B = '02:00:00:00:00:02';

let folder = '';
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'hg-packets-'))));
afterAll(() => rmSync(folder, { recursive: true }));

const ip = (more: Partial<IpFields>, family = 4): IpFields => ({
  source: family === 4 ? '10.0.0.1' : 'fd00::1',
  destination: family === 4 ? '10.0.0.2' : 'fd00::2',
  protocol: 6,
  sourcePort: 40_000,
  destinationPort: 5432,
  icmpType: 0,
  icmpCode: 0,
  icmpId: 7,
  tcpFlags: 2,
  ttl: 64,
  fragment: undefined,
  payload: Buffer.from('headgate'),
  ...more,
});
const frame = (content: FrameFields['content'], vlans: number[] = []): FrameFields => ({
  sourceMac: A,
  destinationMac: B,
  vlans,
  content,
});
const arp = (operation: 1 | 2) =>
  frame({ operation, senderMac: A, sender: '10.0.0.1', targetMac: B, target: '10.0.0.2' });

/** What tcpdump has to say with -vv, which checks checksums, and what the line of -n has to read as. */
const PACKETS: [name: string, fields: FrameFields, said: RegExp, read: object][] = [
  [
    'tcp',
    frame(ip({})),
    /Flags \[S\], cksum 0x\w+ \(correct\).*length 8/,
    { protocol: 6, sourcePort: 40_000, destinationPort: 5432, tcpFlags: 2, payload: 8, to: '10.0.0.2' },
  ],
  ['tcp with other flags', frame(ip({ tcpFlags: 0x19 })), /Flags \[FP\.\]/, { tcpFlags: 0x19 }],
  ['tcp over IPv6', frame(ip({}, 6)), /Flags \[S\], cksum 0x\w+ \(correct\)/, { protocol: 6, to: 'fd00::2' }],
  [
    'udp',
    frame(ip({ protocol: 17 })),
    /\[udp sum ok\].*length 8/,
    { protocol: 17, sourcePort: 40_000, destinationPort: 5432, payload: 8 },
  ],
  [
    'udp of odd length, IPv6',
    frame(ip({ protocol: 17, payload: Buffer.alloc(7) }, 6)),
    /\[udp sum ok\]/,
    { protocol: 17, payload: 7 },
  ],
  [
    'dns',
    frame(ip({ protocol: 17, destinationPort: 53, payload: Buffer.alloc(30) })),
    /\.53:/,
    { protocol: 17, destinationPort: 53 },
  ],
  [
    'ping',
    frame(ip({ protocol: 1, icmpType: 8 })),
    /ICMP echo request, id 7, seq 1, length 16/,
    { protocol: 1, icmpType: 8, icmpId: 7, payload: 8 },
  ],
  [
    'ping over IPv6',
    frame(ip({ protocol: 58, icmpType: 128 }, 6)),
    /\[icmp6 sum ok\].*echo request/,
    { protocol: 58, icmpType: 128, icmpId: 7 },
  ],
  [
    'neighbour solicitation',
    frame(ip({ protocol: 58, icmpType: 135, ttl: 255, payload: Buffer.alloc(0) }, 6)),
    /\[icmp6 sum ok\].*neighbor solicitation.*who has fd00::2/,
    { protocol: 58, icmpType: 135 },
  ],
  [
    'sctp',
    frame(ip({ protocol: 132, payload: Buffer.alloc(0) })),
    /sctp.*\[INIT\]/,
    { protocol: 132, sourcePort: 40_000, destinationPort: 5432 },
  ],
  ['another protocol', frame(ip({ protocol: 99 })), /ip-proto-99|private encryption/i, { protocol: 99 }],
  ['GRE', frame(ip({ protocol: 47, payload: Buffer.from('0000080045', 'hex') })), /GREv0/, { protocol: 47 }],
  ['VLAN', frame(ip({}), [10]), /Flags \[S\]/, { protocol: 6 }],
  ['QinQ', frame(ip({}), [100, 20]), /Flags \[S\]/, { protocol: 6 }],
  ['TTL', frame(ip({ ttl: 3 })), /ttl 3,/, { protocol: 6 }],
  [
    'who-has',
    arp(1),
    /Request who-has 10\.0\.0\.2.* tell 10\.0\.0\.1/,
    { protocol: 'arp', sourceAddress: '10.0.0.1', to: '10.0.0.2' },
  ],
  [
    'is-at',
    arp(2),
    /Reply 10\.0\.0\.1 is-at 02:00:00:00:00:01/,
    { protocol: 'arp-reply', sourceAddress: '10.0.0.1', sourceMac: A },
  ],
  [
    'a later fragment',
    frame(ip({ fragment: { offset: 1480, more: true } })),
    /offset 1480, flags \[\+\]/,
    undefined as never,
  ],
  [
    'a fragment of IPv6',
    frame(ip({ protocol: 17, fragment: { offset: 0, more: true } }, 6)),
    /frag \(0x\w+:0\|16\)/,
    undefined as never,
  ],
];

/** Runs tcpdump over frames. */
function tcpdump(frames: Buffer[], ...options: string[]): string {
  const path = join(folder, 'frames.pcap');
  writePcap(
    path,
    frames.map((bytes, i) => ({ time: i, bytes })),
  );
  return execFileSync('tcpdump', ['-n', ...options, '-r', path], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

describe('tcpdump', () => {
  test.each(PACKETS)('reads %s as it was described', (_name, fields, said) => {
    const text = tcpdump([buildFrame(fields)], '-vv').replace(/\s+/g, ' ');
    expect(text).toMatch(said);
    expect(text).not.toMatch(/bad cksum|incorrect|truncated/);
  });

  test.each(PACKETS.filter(([, , , read]) => read !== undefined))(
    'prints a line of %s that reads back',
    (_name, fields, _said, read) => {
      const bytes = buildFrame(fields);
      expect(parseTcpdumpLine(tcpdump([bytes]))).toMatchObject(read);
      const withMacs = parseTcpdumpLine(tcpdump([bytes], '-e', '-tttt'));
      expect(withMacs).toMatchObject({ ...read, sourceMac: A, destinationMac: B });
      expect(withMacs.vlans ?? []).toEqual(fields.vlans);
      const { content } = fields;
      if ('operation' in content) return;
      expect(parseTcpdumpLine(tcpdump([bytes], '-v'))).toMatchObject({
        protocol: content.protocol,
        ttl: content.ttl,
      });
      expect(parseTcpdumpLine(tcpdump([bytes], '-v')).fragment).toEqual(content.fragment);
    },
  );
});

test('a line of a later fragment says where it begins, with -v alone', () => {
  const fragment = { offset: 1480, more: true };
  const bytes = buildFrame(frame(ip({ protocol: 17, fragment })));
  expect(parseTcpdumpLine(tcpdump([bytes], '-v'))).toMatchObject({ protocol: 17, fragment });
  expect(() => parseTcpdumpLine(tcpdump([bytes]))).toThrow('later fragment');
});

describe('a line of tcpdump', () => {
  test.each([
    // Of -i any, of -v in one line, of an application that tcpdump decodes.
    [
      '09:27:01.5 eth0  In  IP 10.0.0.1.1234 > 10.0.0.2.443: Flags [.], ack 1, win 501, length 0',
      { sourcePort: 1234, tcpFlags: 16 },
    ],
    [
      'IP 10.0.0.1.5353 > 224.0.0.251.5353: 0 [2q] PTR (QM)? _ipps._tcp.local. (45)',
      { protocol: 17, payload: 45, to: '224.0.0.251' },
    ],
    [
      'IP6 fe80::1 > ff02::16: HBH ICMP6, multicast listener report v2, 1 group record(s), length 28',
      { protocol: 58, icmpType: 143 },
    ],
    [
      'IP 10.0.0.2 > 10.0.0.1: ICMP 10.0.0.2 udp port 53 unreachable, length 36',
      { protocol: 1, icmpType: 3, icmpCode: 3 },
    ],
    ['IP 10.0.0.2 > 10.0.0.1: ICMP time exceeded in-transit, length 36', { protocol: 1, icmpType: 11 }],
    [
      'IP 10.0.0.2 > 10.0.0.1: ICMP 10.0.0.2 unreachable - need to frag (mtu 1400), length 36',
      { icmpType: 3, icmpCode: 4 },
    ],
    ['IP 10.0.0.2 > 10.0.0.1: ESP(spi=0x00000001,seq=0x1), length 36', { protocol: 50 }],
  ])('%s', (line, read) => expect(parseTcpdumpLine(line)).toMatchObject(read));

  test.each([
    ['', 'is no line'],
    ['hello', 'is no line'],
    ['IP web-1.40000 > db-1.5432: Flags [S]', 'names are not looked up'],
    ['IP 10.0.0.1.40000 > 10.0.0.2.https: Flags [S], length 0', "'https' is the name of a port"],
    ['IP 10.0.0.1 > 10.0.0.2: what is this', 'which protocol'],
    ['IP 10.0.0.1.1 > 10.0.0.2.2: Flags [X], length 0', 'TCP flags'],
    ['IP 10.0.0.1 > 10.0.0.2: ICMP something new, length 8', 'is not known'],
    [`${A} > ${B}, ethertype LLDP (0x88cc), length 60: LLDP`, 'neither IPv4, IPv6 nor ARP'],
  ])('that is not understood is refused with why: %s', (line, why) => {
    expect(() => parseTcpdumpLine(line)).toThrow(why);
  });
});

test('flags are letters of tcpdump, and numbers', () => {
  for (let flags = 0; flags < 256; flags++) expect(parseFlags(flagLetters(flags))).toBe(flags);
  expect(parseFlags('SA')).toBe(0x12);
  expect(parseFlags('X')).toBeUndefined();
  expect(parseFlags('')).toBeUndefined();
});

test('at first sight a frame says who speaks to whom', () => {
  expect(dissect(buildFrame(frame(ip({}, 6), [100, 20])))).toEqual({
    destinationMac: B,
    sourceMac: A,
    vlans: [100, 20],
    ethertype: 0x86dd,
    offset: 22,
    source: 'fd00::1',
    destination: 'fd00::2',
    protocol: 6,
  });
  expect(dissect(buildFrame(arp(1)))).toMatchObject({ source: '10.0.0.1', destination: '10.0.0.2' });
  expect(dissect(Buffer.alloc(13))).toBeUndefined();
  expect(dissect(Buffer.alloc(14))).toMatchObject({ ethertype: 0 });
});

const FRAMES = [buildFrame(frame(ip({}))), buildFrame(arp(1)), buildFrame(frame(ip({ protocol: 17 }, 6)))];

function capture(comment = ''): Buffer {
  const blocks: Buffer[] = [];
  const writer = new PcapngWriter((block) => blocks.push(block), 'headgate test');
  FRAMES.forEach((bytes, i) =>
    writer.frame({
      interface: `web-${i % 2}/eth0`,
      description: `device eth0 of workload web-${i % 2}`,
      time: 1_700_000_000_000.125 + i * 1000,
      bytes: i === 2 ? bytes.subarray(0, 20) : bytes,
      length: bytes.length,
      comment: `${comment}verdict ${i}`,
    }),
  );
  return Buffer.concat(blocks);
}

describe('what is written as pcapng', () => {
  test('tshark reads: interfaces, times, comments and what was cut off', () => {
    const path = join(folder, 'written.pcapng');
    writeFileSync(path, capture('ünïcode '));
    const fields = [
      'frame.interface_name',
      'frame.interface_description',
      'frame.time_epoch',
      'frame.len',
      'frame.cap_len',
      'frame.comment',
    ];
    const args = ['-r', path, '-T', 'fields', ...fields.flatMap((field) => ['-e', field])];
    const { stdout, stderr } = spawnSync('tshark', args, { encoding: 'utf8' });
    expect(stderr).not.toMatch(/malformed|cut short|isn't a capture/i);
    const rows = stdout
      .trim()
      .split('\n')
      .map((line) => line.split('\t'));
    expect(rows).toEqual(
      FRAMES.map((bytes, i) => [
        `web-${i % 2}/eth0`,
        `device eth0 of workload web-${i % 2}`,
        `${1_700_000_000 + i}.000125000`,
        String(bytes.length),
        String(i === 2 ? 20 : bytes.length),
        `ünïcode verdict ${i}`,
      ]),
    );
  });

  test('is read back', () => {
    const read = [...readCapture(capture())];
    expect(read.map(({ bytes }) => bytes)).toEqual([FRAMES[0], FRAMES[1], FRAMES[2]?.subarray(0, 20)]);
    expect(read.map(({ cut }) => cut)).toEqual([false, false, true]);
  });
});

test('tshark finds the checksum of SCTP right', () => {
  const path = join(folder, 'sctp.pcap');
  const sctp = ip({ protocol: 132, payload: Buffer.alloc(0) });
  writePcap(path, [{ time: 0, bytes: buildFrame(frame(sctp)) }]);
  const args = ['-r', path, '-o', 'sctp.checksum:CRC 32c', '-T', 'fields', '-e', 'sctp.checksum.status'];
  expect(spawnSync('tshark', args, { encoding: 'utf8' }).stdout).toBe('1\n'); // 0: wrong, 2: not looked at
});

describe('a capture', () => {
  /** In the form of editcap -F, and in both byte orders. */
  function classic(nanoseconds: boolean, little: boolean): Buffer {
    const word = (value: number) => {
      const bytes = Buffer.alloc(4);
      if (little) bytes.writeUInt32LE(value);
      else bytes.writeUInt32BE(value);
      return bytes;
    };
    const version = little ? Buffer.from('02000400', 'hex') : Buffer.from('00020004', 'hex');
    const head = [
      word(nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4),
      version,
      word(0),
      word(0),
      word(65_535),
      word(1),
    ];
    const records = FRAMES.flatMap((bytes) => [
      word(1),
      word(2),
      word(bytes.length),
      word(bytes.length),
      bytes,
    ]);
    return Buffer.concat([...head, ...records]);
  }

  test.each([
    [false, true],
    [false, false],
    [true, true],
    [true, false],
  ])('of pcap is read: nanoseconds %s, little-endian %s', (nanoseconds, little) => {
    expect([...readCapture(classic(nanoseconds, little))].map(({ bytes }) => bytes)).toEqual(FRAMES);
  });

  test('that tcpdump wrote, and tshark made pcapng of, is read', () => {
    const [from, pcap, pcapng] = ['from', 'pcap', 'pcapng'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    writePcap(
      from,
      FRAMES.map((bytes, i) => ({ time: i, bytes })),
    );
    execFileSync('tcpdump', ['-r', from, '-w', pcap], { stdio: 'ignore' });
    execFileSync('tshark', ['-r', from, '-F', 'pcapng', '-w', pcapng], { stdio: 'ignore' });
    for (const path of [pcap, pcapng])
      expect([...readCapture(readFileSync(path))].map(({ bytes }) => bytes)).toEqual(FRAMES);
    expect(readPcap(from)).toHaveLength(3);
  });

  /** A packet that says to be longer than its block. */
  function overlong(): Buffer {
    const file = capture();
    const [first = Buffer.alloc(0)] = FRAMES;
    const at = file.indexOf(first);
    file.writeUInt32LE(first.length + 40, at - 8);
    return file;
  }

  test.each([
    [Buffer.alloc(0), 'does not begin as'],
    [Buffer.from('PK hello, this is a zip'), 'does not begin as'],
    [classic(false, true).subarray(0, 10), 'cut off at byte 0'],
    [classic(false, true).subarray(0, 60), 'cut off at byte 24'],
    [capture().subarray(0, -2), 'cut off at byte'],
    [overlong(), 'cut off at byte'],
  ])('that is damaged is refused with where (%#)', (file, why) => {
    expect(() => [...readCapture(file)]).toThrow(why);
  });

  test('of another link type is refused with what to do', () => {
    const file = Buffer.from(classic(false, true));
    file.writeUInt32LE(113, 20);
    expect(() => [...readCapture(file)]).toThrow('Linux cooked');
  });

  test('with any bytes changed is read or refused in words, never worse', () => {
    const seed = Number(process.env['HEADGATE_SEED'] ?? Date.now() % 2 ** 31);
    const random = new Random(seed);
    for (let run = 0; run < 3000; run++) {
      const file = Buffer.from(random.pick([capture(), classic(random.chance(0.5), random.chance(0.5))]));
      for (let i = random.below(8); i >= 0; i--)
        file.writeUInt8(random.pick([0, 1, 0x7f, 0xff, random.below(256)]), random.below(file.length));
      const again = `HEADGATE_SEED=${seed} npx vitest run test/unit/trace-packets.test.ts (run ${run})`;
      try {
        for (const { bytes } of readCapture(file.subarray(0, random.below(file.length + 1))))
          expect(bytes.length, again).toBeLessThanOrEqual(file.length);
      } catch (error) {
        expect(error, again).toMatchObject({ code: 'capture' });
      }
    }
  });
});
