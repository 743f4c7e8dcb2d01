// `headgate trace` and `headgate capture` as a program: forms, output, exit codes, and how they end. Runs the compiled one
// (npm run build:ts) against control and the real engine over memory ports.
import { execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { StatsResult } from '../../src/control/api.js';
import type { TraceAnswer } from '../../src/trace/answer.js';
import { readCapture } from '../../src/trace/read-capture.js';
import { writePcap } from '../golden/pcap.js';
import { TraceBed } from '../support/trace-bed.js';
import { until } from '../support/until.js';

const PROGRAM = resolve(import.meta.dirname, '../../bin/headgate');

let bed: TraceBed;
let folder = '';
beforeAll(async () => {
  bed = await TraceBed.start();
  folder = mkdtempSync(join(tmpdir(), 'hg-trace-'));
});
afterAll(async () => {
  await bed.stop();
  rmSync(folder, { recursive: true });
});

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

const environment = () => ({ ...process.env, HEADGATE_RUN_DIR: bed.stack.directory });

function headgate(args: string[], stdin: string | Buffer = ''): Promise<Outcome> {
  return new Promise((done) => {
    const child = execFile(PROGRAM, args, { env: environment(), cwd: folder }, (error, stdout, stderr) =>
      done({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
    child.stdin?.end(stdin);
  });
}

const SQL = ['--from', 'web', '--to', 'db', '--port', '5432', '--source-port', '40000'];
const SSH = ['--from', 'web', '--to', 'db', '--port', '22', '--source-port', '40000'];
const json = (stdout: string) =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as TraceAnswer);

describe('trace --simulate', () => {
  test('tells a drop stage by stage within 80 columns, without colours, and ends with 0', async () => {
    const { code, stdout, stderr } = await headgate(['trace', '--simulate', ...SSH]);
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringMatching(/^not enforced: 1 rule observes.*\n$/) as string,
    });
    const lines = stdout.trimEnd().split('\n');
    expect(lines.map((line) => line.replace(/ .*/, '')).filter((word) => word !== '')).toEqual(
      expect.arrayContaining(['tcp', 'dropped', 'hint:', 'counted']),
    );
    expect(stdout).toMatch(/^ {2}drop +classify +web out: drop by shop\/stop-ssh/m);
    expect(stdout).toContain('counted in headgate_drop_packets_total{reason="policy-drop",direction="out"}');
    // eslint-disable-next-line no-control-regex
    expect(stdout).not.toMatch(/\u001b/);
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(80);
  });

  test('-o json is an object a line, -o yaml a document for each', async () => {
    const lines = '10.0.0.1.40000 > 10.0.0.2';
    const given = [`IP ${lines}.5432: Flags [S], length 0`, `IP ${lines}.22: Flags [S], length 0`].join('\n');
    const asked = ['trace', '--simulate', '--line', '-', '-o'];
    const answers = json((await headgate([...asked, 'json'], given)).stdout);
    expect(answers.map(({ outcome }) => outcome)).toEqual(['delivered', 'dropped']);
    const documents = parseAllDocuments((await headgate([...asked, 'yaml'], given)).stdout);
    const outcomes = documents.map((document) => (document as { toJS: () => TraceAnswer }).toJS().outcome);
    expect(outcomes).toEqual(['delivered', 'dropped']);
  });

  test('reads a line of tcpdump -v in two parts, and lets options change it', async () => {
    const line = `12:00:00.1 IP (tos 0x0, ttl 9, id 1, offset 0, flags [DF], proto TCP (6), length 40)
    10.0.0.1.40000 > 10.0.0.2.22: Flags [S], cksum 0x1234 (correct), seq 1, win 5, length 0\n`;
    const [answer] = json(
      (await headgate(['trace', '--simulate', '--line', '-', '-o', 'json'], line)).stdout,
    );
    expect(answer?.packet).toBe('tcp 10.0.0.1:40000 > 10.0.0.2:22 [S]');
    expect(Buffer.from(answer?.trace.frame ?? '', 'base64')[22]).toBe(9);
    const changed = ['trace', '--simulate', '--line', line, '--port', '5432', '-o', 'json'];
    expect(json((await headgate(changed)).stdout)[0]?.outcome).toBe('delivered');
  });

  test('reads a capture of a file and of standard input, a line for each packet', async () => {
    const frames = [await bed.frame(), await bed.frame({ destinationPort: 22 }), await bed.frame()];
    const path = join(folder, 'in.pcap');
    writePcap(
      path,
      frames.map((bytes, i) => ({ time: i, bytes })),
    );
    const { stdout } = await headgate(['trace', '--simulate', '--pcap', path, '--brief']);
    expect(stdout.split('\n').map((line) => line.slice(13))).toEqual([
      'delivered tcp 10.0.0.1:40000 > 10.0.0.2:5432 [S]  allow web out shop/sql -> allow db in shop/sql',
      'dropped   tcp 10.0.0.1:40000 > 10.0.0.2:22 [S]  drop web out shop/stop-ssh',
      'delivered tcp 10.0.0.1:40000 > 10.0.0.2:5432 [S]  allow web out shop/sql -> allow db in shop/sql',
      '',
    ]);
    const stranger = Buffer.from(frames[0] as Buffer);
    stranger.set([2, 9, 9, 9, 9, 9], 6); // its MAC
    stranger.set([192, 0, 2, 1], 26); // and its address
    writePcap(
      join(folder, 'mixed.pcap'),
      [...frames, stranger].map((bytes, i) => ({ time: i, bytes })),
    );
    const mixed = await headgate(['trace', '--simulate', '--pcap', 'mixed.pcap', '--brief']);
    expect(mixed.stdout.split('\n')).toHaveLength(4);
    expect(mixed.stderr).toMatch(
      /left out, 1 of 4: No workload has the MAC 02:09:.* or the address 192\.0\.2\.1/,
    );
    const args = ['trace', '--simulate', '--pcap', '-', '--count', '2', '-o', 'json'];
    const piped = await headgate(args, readFileSync(path));
    expect(json(piped.stdout)).toHaveLength(2);
    expect(piped.stderr).toContain('note: the first 2 of 3 packets');
  });
});

test('trace --inject tells what comes back', async () => {
  const { code, stdout } = await headgate(['trace', '--inject', ...SQL, '--wait', '0']);
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /delivered to db\nnothing came back within 0 s\nits payload holds headgate-trace-\w{8}/,
  );
});

describe('what is asked wrongly', () => {
  test.each([
    [['trace'], 2, 'One of --simulate, --inject and --live'],
    [['trace', '--simulate', '--live'], 2, 'One of --simulate, --inject and --live'],
    [['trace', '--simulate'], 2, 'Who sends the packet'],
    [['trace', '--simulate', '--from', 'web', '--to', 'db'], 2, 'To which port'],
    [['trace', '--simulate', 'tcp', ...SQL], 2, "The filter 'tcp' is for --live"],
    [['trace', '--live', '--source-port', '1'], 2, '--source-port is not for --live'],
    [['trace', '--inject', ...SQL, '--dropped'], 2, '--dropped is only for --live'],
    [['trace', '--simulate', ...SQL, '--vlan', '4096'], 2, 'A VLAN id'],
    [['trace', '--simulate', ...SQL, '--fragment', '7'], 2, 'multiple of 8'],
    [['trace', '--simulate', ...SQL, '--flags', 'X'], 2, 'SFRPAUEW'],
    [['trace', '--simulate', ...SQL, '--source-mac', 'x'], 2, 'A MAC like'],
    [['trace', '--simulate', '--line', 'hello'], 1, 'is no line'],
    [['trace', '--simulate', '--pcap', '/nonexistent'], 1, '/nonexistent cannot be read'],
    [['trace', '--simulate', '--pcap', '-'], 1, 'does not begin as'],
    [['trace', '--simulate', '--from', 'wbe', '--to', 'db', '--port', '1'], 1, 'did you mean "web"'],
    [['trace', '--live', 'tcp prot 1'], 1, 'syntax error'],
    [['trace', '--live', '--workload', 'nobody'], 1, "no workload 'nobody'"],
    [['capture', '-w', '/nonexistent/file'], 1, 'cannot be written'],
    [['capture', '-w', '/dev/full'], 1, '/dev/full cannot be written: ENOSPC'],
    [['capture', '--bytes', '-1'], 2, 'A number between'],
  ])('headgate %j ends with %d and says why', async (args, code, words) => {
    const outcome = await headgate(args);
    expect(outcome).toMatchObject({ code, stdout: '' });
    expect(outcome.stderr).toContain(words);
  });
});

test('a capture whose filter is refused leaves the file as it was', async () => {
  const file = join(folder, 'old.pcapng');
  writeFileSync(file, 'of yesterday');
  expect(await headgate(['capture', '-w', file, 'tcp prot 1'])).toMatchObject({ code: 1 });
  expect(readFileSync(file, 'utf8')).toBe('of yesterday');
});

/** Runs until it says that it traces; `end` sends it a signal and waits. */
function start(args: string[]) {
  const child = spawn(PROGRAM, args, { env: environment(), cwd: folder });
  const out: Buffer[] = [];
  let stderr = '';
  child.stdout.on('data', (data: Buffer) => out.push(data));
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  const ended = new Promise<number | null>((done) => child.on('close', done));
  return {
    ready: () => until('it traces', () => stderr.includes('tracing')),
    stdout: () => Buffer.concat(out),
    stderr: () => stderr,
    ended,
    end: () => {
      child.kill('SIGINT');
      return ended;
    },
  };
}

/** Traces that the engine has. */
async function traces(): Promise<number> {
  const found: number[] = [];
  try {
    for (;;) found.push(bed.native.startTrace({ bytes: 0 }));
  } catch {
    for (const trace of found) bed.native.stopTrace(trace);
    return 8 - found.length;
  }
}

describe('trace --live', () => {
  test('prints a line for each packet until Ctrl-C, and then costs the engine nothing', async () => {
    const frame = await bed.frame({ destinationPort: 22 });
    const live = start(['trace', '--live', 'tcp port 22', '--workload', 'web', '--dropped']);
    await live.ready();
    expect(await traces()).toBe(1);
    bed.native.inject('web', frame);
    bed.native.inject('web', await bed.frame());
    await until('it is printed', () => live.stdout().length > 0);
    expect(await live.end()).toBe(0);
    expect(live.stdout().toString().slice(13)).toBe(
      'dropped   tcp 10.0.0.1:40000 > 10.0.0.2:22 [S]  drop web out shop/stop-ssh\n',
    );
    expect(live.stderr()).toContain('\n1 packet\n');
    expect(await traces()).toBe(0);
  });

  test('ends after so many packets, or so long; -o wide is stage by stage', async () => {
    const frame = await bed.frame();
    const live = start(['trace', '--live', '--count', '2', '-o', 'wide']);
    await live.ready();
    for (let i = 0; i < 3; i++) bed.native.inject('web', frame);
    expect(await live.ended).toBe(0);
    expect(
      live
        .stdout()
        .toString()
        .match(/^ {2}ok +guard/gm),
    ).toHaveLength(2);
    expect((await headgate(['trace', '--live', '--duration', '1s'])).code).toBe(0);
    expect(await traces()).toBe(0);
  });

  test('tells each packet that came before the end, or counts it as lost', async () => {
    const frame = await bed.frame();
    const live = start(['trace', '--live', '--brief', '-o', 'wide']);
    await live.ready();
    const before = await sent();
    for (let i = 0; i < PACKETS; i++) bed.native.inject('web', frame);
    await until('all came in', async () => (await sent()) >= before + PACKETS);
    expect(await live.end()).toBe(0);
    const lines = live.stdout().toString().split('\n').length - 1;
    const [, told, lost = '0'] = /\n(\d+) packets(?:, (\d+) more lost)?/.exec(live.stderr()) ?? [];
    expect(lines).toBe(Number(told));
    expect(lines + Number(lost)).toBe(PACKETS);
  });

  /** More than the engine keeps for a reader that is slow. */
  const PACKETS = 20_000;
  async function sent(): Promise<number> {
    const { workloads } = await bed.stack.client.get<StatsResult>('/v1/stats');
    return workloads.find(({ workload }) => workload === 'web')?.sentPackets ?? 0;
  }
});

describe('capture', () => {
  const fields = ['frame.interface_name', 'frame.comment', 'tcp.dstport'].flatMap((field) => ['-e', field]);
  const read = (path: string) =>
    execFileSync('tshark', ['-r', path, '-T', 'fields', ...fields], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });

  test('writes a file that tshark reads, with the verdicts', async () => {
    const path = join(folder, 'out.pcapng');
    const frames = [await bed.frame(), await bed.frame({ destinationPort: 22 })];
    const capture = start(['capture', '-w', path, '--count', '2']);
    await capture.ready();
    for (const frame of frames) bed.native.inject('web', frame);
    expect(await capture.ended).toBe(0);
    expect(read(path)).toBe(
      'web/unknown\tallow web out shop/sql -> allow db in shop/sql\t5432\n' +
        'web/unknown\tdrop web out shop/stop-ssh\t22\n',
    );
    expect([...readCapture(readFileSync(path))].map(({ bytes }) => bytes)).toEqual(frames);
  });

  test('writes as it goes to a pipe, as few bytes as are wanted, only what is dropped', async () => {
    const path = join(folder, 'piped.pcapng');
    const capture = start(['capture', '--dropped', '--bytes', '40']);
    await capture.ready();
    bed.native.inject('web', await bed.frame());
    bed.native.inject('web', await bed.frame({ destinationPort: 22 }));
    await until('it is written', () => capture.stdout().includes('stop-ssh'));
    expect(await capture.end()).toBe(0);
    writeFileSync(path, capture.stdout());
    expect(read(path)).toContain('drop web out shop/stop-ssh\t22');
    expect([...readCapture(capture.stdout())]).toMatchObject([{ bytes: { length: 40 }, cut: true }]);
  });
});

test('capture is nothing for a terminal', async () => {
  const args = ['-qec', `${PROGRAM} capture`, '/dev/null'];
  const { code, stdout } = await new Promise<{ code: number; stdout: string }>((done) =>
    execFile('script', args, { env: environment() }, (error, stdout) =>
      done({ code: Number(error?.code ?? 0), stdout }),
    ),
  );
  expect(stdout).toContain('A capture is nothing for a terminal');
  expect(code).toBe(2);
});
