// Flow logs of real traffic: JSON lines in a file, and IPFIX as two readers have it that are not ours, field by field.
//
//     a (10.77.0.1) ---TAP--- Headgate ---TAP--- b (10.77.0.2), listens on TCP 80, 81 and UDP 53
//                             control --UDP, lo--> nfcapd, and tcpdump for tshark
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../src/lab/namespaces.js';
import { Bed } from './bed.js';

const PORT = 47390;
const DOMAIN = 42;

interface Line {
  start: string;
  end: string;
  event: string;
  reason: string;
  state: string;
  tracker: string;
  protocol: string;
  source: string;
  sourcePort: number;
  destination: string;
  destinationPort: number;
  icmpType?: number;
  icmpCode?: number;
  packets: [number, number];
  bytes: [number, number];
  verdicts: { workload: string; direction: string; action: string; rule: string }[];
}

const folder = mkdtempSync('/run/hg-flow-logs-');
const jsonLines = join(folder, 'flows.jsonl');
const capture = join(folder, 'ipfix.pcap');
const nfcapdFolder = join(folder, 'nfcapd');

let bed: Bed;
const helpers: ChildProcess[] = [];
let lines: Line[];
let nfcapdSaid = '';
/** Packets and bytes that the rule for the long connection let through, as the engine counted them all along. */
let counted: { packets: number; bytes: number } | undefined;

/** Starts a program and waits until it has said so. */
async function start(ready: string, program: string, ...args: string[]): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  helpers.push(child);
  let said = '';
  const hear = (data: Buffer) => {
    said += data.toString();
    if (program === 'nfcapd') nfcapdSaid = said;
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  await waitUntil(`${program} is ready`, () => {
    if (child.exitCode !== null) throw new Error(`${program} ended: ${said}`);
    return said.includes(ready);
  });
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  await gone;
}

function readLines(): Line[] {
  if (!existsSync(jsonLines)) return [];
  const text = readFileSync(jsonLines, 'utf8').split('\n').slice(0, -1);
  return text.map((line) => JSON.parse(line) as Line);
}

const find = (protocol: string, port: number, all = lines) =>
  all.filter((line) => line.protocol === protocol && line.destinationPort === port);

/** Datagrams that nfcapd has not taken yet: `rx_queue` of its socket. */
function isTaken(): boolean {
  const port = `:${PORT.toString(16).toUpperCase()} `;
  const socket = readFileSync('/proc/net/udp', 'utf8')
    .split('\n')
    .find((line) => line.slice(0, 24).includes(port));
  return socket?.includes(':00000000 00:') === true;
}

beforeAll(async () => {
  chmodSync(folder, 0o777); // control is an ordinary user
  mkdirSync(nfcapdFolder);
  const nfcapd = await start(
    'Startup',
    'nfcapd',
    ...['-w', nfcapdFolder, '-p', String(PORT), '-b', '127.0.0.1'],
  );
  const tcpdump = await start('listening on', 'tcpdump', '-i', 'lo', '-U', '-w', capture, `udp port ${PORT}`);
  bed = await Bed.start({
    workloads: ['a', 'b'],
    rules: [
      { name: 'web', services: [{ protocol: 'tcp', ports: [80] }], action: 'allow' },
      { name: 'long', services: [{ protocol: 'tcp', ports: [81] }], action: 'allow' },
      { name: 'dns', services: [{ protocol: 'udp', ports: [53] }], action: 'allow' },
      {
        name: 'ping',
        services: [
          { protocol: 'icmp', icmpType: 8 },
          { protocol: 'icmpv6', icmpType: 128 },
        ],
        action: 'allow',
      },
      { name: 'discard', services: [{ protocol: 'udp', ports: [9] }], action: 'drop' },
    ],
    host: {
      timeouts: { tcpClosing: 1, udpOneWay: 1, udpTwoWay: 1, icmp: 1, denied: 1 },
      flowLog: {
        ipfix: { collector: `127.0.0.1:${PORT}`, observationDomain: DOMAIN },
        jsonLines,
        activeTimeout: 3,
      },
    },
  });
  await traffic();
  await waitUntil('all connections have ended', () => {
    lines = readLines();
    const ends = (found: Line[]) => found.filter(({ reason }) => reason !== 'active-timeout').length;
    return (
      [find('tcp', 80), find('tcp', 81), find('udp', 53), find('udp', 9)].every((found) => ends(found) > 0) &&
      [8, 128].every((type) => ends(lines.filter(({ icmpType }) => icmpType === type)) > 0)
    );
  });
  counted = (await bed.stats()).hits.find(
    ({ rule, workload, direction }) => rule === 'test/long' && workload === 'a' && direction === 'out',
  );
  await bed.stop();
  lines = readLines();
  await waitUntil('all messages are taken', () => isTaken() && readTshark().length >= lines.length);
  await end(tcpdump);
  await end(nfcapd);
}, 120_000);

afterAll(async () => {
  for (const helper of helpers) await end(helper);
  rmSync(folder, { recursive: true });
});

async function traffic(): Promise<void> {
  const [a, b] = [bed.agent('a'), bed.agent('b')];
  await b.listen({ tcp: [80, 81], udp: [53] });
  expect(await a.tcp(bed.ipv4('b'), 80)).toMatchObject({ outcome: 'reached' });
  expect(await a.udp(bed.ipv6('b'), 53)).toMatchObject({ outcome: 'reached' });
  expect(await a.udp(bed.ipv4('b'), 9, 200)).toMatchObject({ outcome: 'silent' });
  for (const to of [bed.ipv4('b'), bed.ipv6('b')])
    expect(await a.ping(to)).toMatchObject({ outcome: 'reached' });
  await a.hold('long', bed.ipv4('b'), 81);
  await waitUntil('the long connection is reported twice', async () => {
    expect(await a.use('long')).toMatchObject({ outcome: 'reached' });
    return find('tcp', 81, readLines()).length >= 2;
  });
  await a.close();
}

/** The fields that every reading is brought to. */
interface Flat {
  start: string;
  end: string;
  protocol: number;
  source: string;
  sourcePort: number;
  destination: string;
  destinationPort: number;
  icmp: number;
  packets: number[];
  bytes: number[];
}

const NUMBERS: Record<string, number> = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 };
const isIcmp = (protocol: number) => protocol === 1 || protocol === 58;

const flat = (line: Line): Flat => ({
  start: line.start,
  end: line.end,
  protocol: NUMBERS[line.protocol] ?? NaN,
  source: line.source,
  sourcePort: line.sourcePort,
  destination: line.destination,
  destinationPort: line.destinationPort,
  icmp: (line.icmpType ?? 0) * 256 + (line.icmpCode ?? 0),
  packets: line.packets,
  bytes: line.bytes,
});

const sorted = <T>(list: T[]) => list.map((one) => JSON.stringify(one)).sort();

type Tree = { [name: string]: string | string[] | Tree };
/** tshark leaves out texts that are empty, and does not make a list of one. */
const array = (value: Tree[string] | undefined) => (value === undefined ? [] : [value].flat()) as string[];

interface TsharkMessage {
  sequence: number;
  domain: string;
  length: number;
  flows: Tree[];
}

function readMessages(): TsharkMessage[] {
  const args = [
    '-r',
    capture,
    '-d',
    `udp.port==${PORT},cflow`,
    '-T',
    'json',
    '--no-duplicate-keys',
    '-J',
    'cflow',
  ];
  const text = execFileSync('tshark', args, { encoding: 'utf8', stdio: 'pipe', maxBuffer: 1 << 28 });
  const frames = JSON.parse(text) as { _source: { layers: { cflow: Tree } } }[];
  return frames.map(({ _source: { layers } }) => {
    const { cflow } = layers;
    const sets = Object.entries(cflow).flatMap(([name, set]) =>
      name.startsWith('Set ') ? [set as Tree] : [],
    );
    const flows = sets.flatMap((set) =>
      Object.entries(set).flatMap(([name, flow]) => (name.startsWith('Flow ') ? [flow as Tree] : [])),
    );
    return {
      sequence: Number(cflow['cflow.sequence']),
      domain: String(cflow['cflow.od_id']),
      length: Number(cflow['cflow.len']),
      flows,
    };
  });
}

const readTshark = () => readMessages().flatMap(({ flows }) => flows);

const EVENTS: Record<string, string> = { '2': 'deleted', '3': 'denied', '5': 'update' };
const REASONS = ['', 'idle-timeout', 'active-timeout', 'end-of-flow', 'forced-end', 'no-room'];

/** Its times are like `Nov 23, 2026 02:45:27.533000000 UTC`. */
const timeOf = (text: unknown) => new Date(String(text).replace(/(\.\d{3})\d* UTC$/, '$1Z')).toISOString();

function fromTshark(flow: Tree) {
  const field = (name: string) => flow[`cflow.${name}`];
  const times = field('timedelta_tree') as Tree;
  return {
    start: timeOf(times['cflow.abstimestart']),
    end: timeOf(times['cflow.abstimeend']),
    protocol: Number(field('protocol')),
    source: field('srcaddr') ?? field('srcaddrv6'),
    sourcePort: Number(field('srcport')),
    destination: field('dstaddr') ?? field('dstaddrv6'),
    destinationPort: Number(field('dstport')),
    icmp: Number(
      field('icmp_type_code_ipv4') ?? 256 * Number(field('icmp_ipv6_type')) + Number(field('icmp_ipv6_code')),
    ),
    packets: array(field('packets')).map(Number),
    bytes: array(field('octets')).map(Number),
    biflow: field('biflow_direction'),
    event: EVENTS[String(field('firewall_event'))],
    reason: REASONS[Number(field('flow_end_reason'))],
    tracker: field('vrfname'),
    workloads: array(field('virtual_station_name')),
    rules: array(field('selector_name')),
  };
}

test('each kind of connection is told with its end, its verdicts and its counts', () => {
  const allowed = (rule: string) => [
    { workload: 'a', direction: 'out', action: 'allow', rule },
    { workload: 'b', direction: 'in', action: 'allow', rule },
  ];
  const [web] = find('tcp', 80);
  expect(web).toMatchObject({
    event: 'deleted',
    reason: 'end-of-flow',
    tracker: 'lan',
    source: bed.ipv4('a'),
    destination: bed.ipv4('b'),
    verdicts: allowed('test/web'),
  });
  for (const at of [0, 1] as const) expect(web?.packets[at]).toBeGreaterThan(2);
  expect(find('udp', 53)).toMatchObject([
    {
      event: 'deleted',
      reason: 'idle-timeout',
      source: bed.ipv6('a'),
      destination: bed.ipv6('b'),
      packets: [1, 1],
      verdicts: allowed('test/dns'),
    },
  ]);
  expect(find('udp', 9)).toMatchObject([
    {
      event: 'denied',
      reason: 'idle-timeout',
      state: 'denied',
      packets: [0, 0],
      bytes: [0, 0],
      verdicts: [{ workload: 'a', direction: 'out', action: 'drop', rule: 'test/discard' }],
    },
  ]);
  const pings = lines.filter(({ verdicts }) => verdicts[1]?.rule === 'test/ping');
  expect(pings.map(({ protocol, icmpType, packets }) => ({ protocol, icmpType, packets }))).toEqual([
    { protocol: 'icmp', icmpType: 8, packets: [1, 1] },
    { protocol: 'icmpv6', icmpType: 128, packets: [1, 1] },
  ]);
});

test('the parts of a long connection follow each other and sum up to it', () => {
  const parts = find('tcp', 81);
  expect(parts.length).toBeGreaterThan(2);
  expect(parts.slice(0, -1).map(({ event, reason }) => `${event} ${reason}`)).toEqual(
    parts.slice(0, -1).map(() => 'update active-timeout'),
  );
  expect(parts.at(-1)).toMatchObject({ event: 'deleted', reason: 'end-of-flow' });
  for (const [i, { start, end: last }] of parts.entries()) {
    expect(start <= last).toBe(true);
    // Clocks are read to the millisecond, twice.
    const before = parts[i - 1];
    if (before) expect(Date.parse(start)).toBeGreaterThanOrEqual(Date.parse(before.end) - 2);
  }
  const sum = (of: (line: Line) => [number, number]) =>
    parts.reduce((total, part) => total + of(part)[0] + of(part)[1], 0);
  expect(counted).toMatchObject({ packets: sum(({ packets }) => packets), bytes: sum(({ bytes }) => bytes) });
});

test('tshark reads the same in every field, in messages with the right sequence numbers', () => {
  const expected = lines.map((line) => ({
    ...flat(line),
    biflow: '1',
    event: line.event,
    reason: line.reason,
    tracker: line.tracker,
    workloads: line.verdicts.map(({ workload }) => workload),
    rules: line.verdicts.map(({ rule }) => rule),
  }));
  expect(sorted(readTshark().map(fromTshark))).toEqual(sorted(expected));
  let sequence = 0;
  for (const message of readMessages()) {
    expect(message).toMatchObject({ domain: String(DOMAIN), sequence });
    expect(message.length).toBeLessThanOrEqual(1452);
    sequence += message.flows.length;
  }
});

test('nfcapd takes all of it without an error in sequence, and nfdump shows both directions', () => {
  expect(nfcapdSaid).toContain('Sequence Errors: 0, Bad Packets: 0');
  const text = execFileSync('nfdump', ['-R', nfcapdFolder, '-o', 'json'], {
    encoding: 'utf8',
    env: { ...process.env, TZ: 'UTC' },
    stdio: 'pipe',
  });
  const flows = JSON.parse(text) as Record<string, string | number | undefined>[];
  const read = flows.map((flow): Flat => ({
    start: `${String(flow['first'])}Z`,
    end: `${String(flow['last'])}Z`,
    protocol: Number(flow['proto']),
    source: String(flow['src4_addr'] ?? flow['src6_addr']),
    sourcePort: Number(flow['src_port'] ?? 0),
    destination: String(flow['dst4_addr'] ?? flow['dst6_addr']),
    destinationPort: Number(flow['dst_port'] ?? 0),
    icmp: Number(flow['icmp_type'] ?? 0) * 256 + Number(flow['icmp_code'] ?? 0),
    packets: [Number(flow['in_packets']), Number(flow['out_packets'] ?? 0)],
    bytes: [Number(flow['in_bytes']), Number(flow['out_bytes'] ?? 0)],
  }));
  expect(sorted(read)).toEqual(sorted(lines.map(flat)));
  expect(read.some(({ protocol }) => isIcmp(protocol))).toBe(true);
});
