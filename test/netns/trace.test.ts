// Traces of real packets: a simulated one leaves nothing behind, an injected one arrives and is answered by the kernel
// there, real traffic is told with its verdicts and captured with them, and what drops it is what the metric counts.
//
//     a (10.77.0.1, fd77::1) ---TAP--- Headgate ---TAP--- b (10.77.0.2, fd77::2: TCP 80 is open, 81 is not)
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { metricsSocket } from '../../src/shared/paths.js';
import type { TraceAnswer } from '../../src/trace/answer.js';
import { spawnIn, waitUntil } from '../../src/lab/namespaces.js';
import { scrape } from '../support/scrape.js';
import { Bed } from './bed.js';

const PROGRAM = resolve(import.meta.dirname, '../../bin/headgate');

let bed: Bed;

beforeAll(async () => {
  bed = await Bed.start({
    workloads: ['a', 'b'],
    rules: [
      { name: 'web', services: [{ protocol: 'tcp', ports: ['80-81'] }], action: 'allow' },
      { name: 'ping', services: [{ protocol: 'icmp' }, { protocol: 'icmpv6' }], action: 'allow' },
      { name: 'no-telnet', direction: 'in', services: [{ protocol: 'tcp', ports: [23] }], action: 'reject' },
      { name: 'telnet', direction: 'out', services: [{ protocol: 'tcp', ports: [23] }], action: 'allow' },
      { name: 'dns', services: [{ protocol: 'udp', ports: [53] }], action: 'allow' },
    ],
  });
  await bed.agent('b').listen({ tcp: [80] });
}, 60_000);
afterAll(() => bed?.stop());

const environment = () => ({ ...process.env, HEADGATE_RUN_DIR: bed.folders.runDir });

async function trace(...args: string[]): Promise<TraceAnswer> {
  const options = { env: environment(), maxBuffer: 64 * 1024 * 1024 };
  const { stdout } = await promisify(execFile)(PROGRAM, ['trace', ...args, '-o', 'json'], options);
  return JSON.parse(stdout) as TraceAnswer;
}

/** Of the metrics that a trace names, the sum. */
async function counted(metrics: string[]): Promise<number> {
  const text = await scrape(metricsSocket(bed.folders.runDir));
  const lines = text.split('\n').filter((line) => metrics.some((metric) => line.startsWith(`${metric} `)));
  expect(lines).toHaveLength(metrics.length);
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

const TO_B = ['--from', 'a', '--to', 'b', '--port'];

describe('--simulate', () => {
  test('says what would become of it, on which device, and sends nothing', async () => {
    const answer = await trace('--simulate', ...TO_B, '80');
    expect(answer.summary).toBe('delivered to b (eth0)');
    expect(answer.verdict).toBe('allow a out test/web -> allow b in test/web');
    const { hits } = await bed.stats();
    expect(hits.filter(({ rule }) => rule === 'test/web')).toEqual([]);
    expect((await bed.flows()).flows.filter(({ protocol }) => protocol === 'tcp')).toEqual([]);
  });

  test('a line that tcpdump prints in a namespace is understood', async () => {
    const dump = spawnIn(bed.netns('a'), ['tcpdump', '-nel', '-c', '1', '-i', 'eth0', 'tcp dst port 81']);
    let [line, said] = ['', ''];
    dump.stdout?.on('data', (data: Buffer) => (line += data.toString()));
    dump.stderr?.on('data', (data: Buffer) => (said += data.toString()));
    await waitUntil('tcpdump listens', () => said.includes('listening on'));
    await bed.agent('a').tcp(bed.ipv4('b'), 81);
    await waitUntil('tcpdump has seen it', () => line.includes('\n'));
    const answer = await trace('--simulate', '--line', line);
    expect(answer).toMatchObject({ outcome: 'delivered', trace: { workload: 'a', destination: 'b' } });
  });
});

describe('--inject', () => {
  test('an open port answers, a closed one refuses, ping is echoed, over both families', async () => {
    for (const family of ['4', '6']) {
      const answered = async (...args: string[]) =>
        (await trace('--inject', '--family', family, ...args)).reply?.text;
      expect(await answered(...TO_B, '80')).toBe('b answers: the port is open');
      expect(await answered(...TO_B, '81')).toBe('b refuses it: nothing listens on the port');
    }
    const ping = async (...args: string[]) =>
      (await trace('--inject', '--from', 'a', '--to', 'b', ...args)).reply;
    expect((await ping('--protocol', 'icmp'))?.text).toBe('b answers: echo reply');
    expect((await ping('--protocol', 'icmpv6'))?.text).toBe('b answers: echo reply');
    expect((await ping('--protocol', 'arp'))?.packets).toHaveLength(1);
    expect((await ping('--protocol', 'udp', '--port', '53'))?.text).toBe('b answers: unreachable');
  });

  test('its mark is seen by tcpdump at the destination', async () => {
    const dump = spawnIn(bed.netns('b'), ['tcpdump', '-nAl', '-i', 'eth0', 'tcp dst port 80']);
    let [seen, said] = ['', ''];
    dump.stdout?.on('data', (data: Buffer) => (seen += data.toString()));
    dump.stderr?.on('data', (data: Buffer) => (said += data.toString()));
    await waitUntil('tcpdump listens', () => said.includes('listening on'));
    const { reply } = await trace('--inject', ...TO_B, '80');
    await waitUntil('the mark is there', () => seen.includes(reply?.mark ?? 'no mark'));
    dump.kill('SIGKILL');
  });

  test.each([
    ['default-drop', [...TO_B, '22']],
    ['policy-reject', [...TO_B, '23']],
    ['spoofed-ipv4', [...TO_B, '80', '--source-address', '10.77.0.9']],
    ['spoofed-mac', [...TO_B, '80', '--source-mac', '02:00:00:00:00:09']],
    ['vlan-not-allowed', [...TO_B, '80', '--vlan', '5']],
  ])('what drops it is what the metric counts: %s', async (reason, args) => {
    const metrics = (await trace('--simulate', ...args)).metrics;
    const before = await counted(metrics);
    const answer = await trace('--inject', ...args);
    expect(answer.summary).toContain(`: ${reason}: `);
    expect(answer.metrics).toEqual(metrics);
    expect((await counted(metrics)) - before).toBe(1);
  });
});

/** A command that traces until it is ended. */
class Running {
  stdout = Buffer.alloc(0);
  readonly child: ChildProcess;
  readonly #ended: Promise<unknown>;

  private constructor(args: string[]) {
    this.child = spawn(PROGRAM, args, { env: environment() });
    this.child.stdout?.on('data', (data: Buffer) => (this.stdout = Buffer.concat([this.stdout, data])));
    this.#ended = new Promise((done) => this.child.on('close', done));
  }

  static async start(...args: string[]): Promise<Running> {
    const running = new Running(args);
    let said = '';
    running.child.stderr?.on('data', (data: Buffer) => (said += data.toString()));
    await waitUntil('it traces', () => said.includes('tracing'));
    return running;
  }

  async end(): Promise<void> {
    this.child.kill('SIGINT');
    expect(await this.#ended).toBe(0);
  }

  traces(): TraceAnswer[] {
    const lines = this.stdout.toString().split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as TraceAnswer);
  }
}

test('--live tells real packets and what drops them, as the metric counts them', async () => {
  const live = await Running.start('trace', '--live', 'tcp', '--dropped', '-o', 'json');
  const metrics = [
    'headgate_drop_packets_total{reason="default-drop",direction="out"}',
    'headgate_drop_packets_total{reason="policy-reject",direction="in"}',
  ];
  const before = await counted(metrics);
  expect(await bed.agent('a').tcp(bed.ipv4('b'), 80)).toMatchObject({ outcome: 'reached' });
  expect(await bed.agent('a').tcp(bed.ipv4('b'), 22)).toMatchObject({ outcome: 'silent' });
  expect(await bed.agent('a').tcp(bed.ipv4('b'), 23)).toMatchObject({ outcome: 'refused' });
  await waitUntil('the rejected one is told', () =>
    live.traces().some(({ outcome }) => outcome === 'rejected'),
  );
  await live.end();
  const told = live.traces();
  expect((await counted(metrics)) - before).toBe(told.length);
  expect(new Set(told.map(({ trace: { headers } }) => headers?.flow?.destinationPort))).toEqual(
    new Set([22, 23]),
  );
  expect(new Set(told.flatMap((one) => one.metrics))).toEqual(new Set(metrics));
  expect(told.at(-1)).toMatchObject({
    verdict: 'allow a out test/telnet -> reject b in test/no-telnet',
    trace: { device: 'eth0', outputs: [{ workload: 'a', what: 'answer' }] },
  });
});

test('capture gives real packets to tshark, with interfaces, verdicts and whole frames', async () => {
  const path = join(bed.directory, 'real.pcapng');
  const capture = await Running.start('capture', '-w', path, 'tcp port 80 or tcp port 22', '--workload', 'a');
  expect(await bed.agent('a').tcp(bed.ipv4('b'), 22)).toMatchObject({ outcome: 'silent' });
  expect(await bed.agent('a').tcp(bed.ipv4('b'), 80)).toMatchObject({ outcome: 'reached' });
  const read = (...fields: string[]) =>
    execFileSync(
      'tshark',
      [
        '-r',
        path,
        '-o',
        'tcp.check_checksum:FALSE',
        '-T',
        'fields',
        ...fields.flatMap((field) => ['-e', field]),
      ],
      {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    )
      .trimEnd()
      .split('\n')
      .map((line) => line.split('\t'));
  await waitUntil('the handshake is captured', () => {
    const rows = read('frame.interface_name', 'tcp.flags.str', 'frame.comment');
    return rows.some(([name, flags]) => name === 'b/eth0' && flags?.includes('A··S'));
  });
  await capture.end();
  const rows = read('frame.interface_name', 'tcp.dstport', 'frame.comment', 'frame.len', 'frame.cap_len');
  const comments = new Set(
    rows.map(
      ([name, port, comment]) => `${name} ${port === '22' || port === '80' ? port : 'back'} ${comment}`,
    ),
  );
  expect(comments).toEqual(
    new Set([
      'a/eth0 22 drop a out default',
      'a/eth0 80 allow a out test/web -> allow b in test/web',
      'b/eth0 back allow b in test/web -> allow a out test/web',
    ]),
  );
  for (const [, , , length, kept] of rows) expect(kept).toBe(length);
});
