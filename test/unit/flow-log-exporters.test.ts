// Where records go: a UDP collector that is there, goes and comes back, and a file that is rotated, on a disk that fills.
import { createSocket, type Socket } from 'node:dgram';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Collector } from '../../src/flow-log/collector.js';
import { JsonLines } from '../../src/flow-log/json-lines.js';
import { Outcome } from '../../src/flow-log/outcome.js';
import { toRecord } from '../../src/flow-log/record.js';
import { flowRecord } from '../support/flow-records.js';
import { IpfixReader, type Message } from '../support/ipfix.js';
import { until } from '../support/until.js';

const counts = { records: 0, lost: 0 };
const warnings: { to: string; lost: number; detail: string }[] = [];
let outcome: Outcome;

beforeEach(() => {
  Object.assign(counts, { records: 0, lost: 0 });
  warnings.length = 0;
  const warn = (fields: object) => void warnings.push(fields as (typeof warnings)[number]);
  outcome = new Outcome('test', counts, { warn } as never);
});

const records = (count: number, from = 0) =>
  Array.from({ length: count }, (_, i) => toRecord(flowRecord({ sourcePort: from + i })));

describe('a collector', () => {
  let collector: Collector;
  let server: Socket | undefined;
  let messages: Message[];

  async function listen(family: 4 | 6, port = 0): Promise<number> {
    const reader = new IpfixReader();
    messages = [];
    const socket = createSocket(`udp${family}`);
    socket.on('message', (bytes) => messages.push(reader.read(bytes)));
    socket.bind(port, family === 4 ? '127.0.0.1' : '::1');
    await once(socket, 'listening');
    server = socket;
    return (socket.address() as AddressInfo).port;
  }

  async function unlisten(): Promise<void> {
    if (server === undefined) return;
    const closed = once(server, 'close');
    server.close();
    server = undefined;
    await closed;
  }

  /** Writes until something comes through: the socket is joined in its own time. */
  async function write(count: number): Promise<void> {
    await until('it is sent', () => {
      const before = counts.lost;
      collector.write(records(count));
      return counts.lost === before;
    });
  }

  afterEach(async () => {
    vi.restoreAllMocks();
    await collector.close();
    await unlisten();
  });

  test.each([4, 6] as const)('over IPv%d is told templates first, then records', async (family) => {
    const port = await listen(family);
    collector = new Collector({ collector: family === 4 ? `127.0.0.1:${port}` : `[::1]:${port}` }, outcome);
    await write(100);
    await until('all records are there', () => messages.flatMap(({ records }) => records).length >= 100);
    expect(messages[0]).toMatchObject({ templates: 2, domain: 0 });
    expect(messages.slice(1).every(({ templates, length }) => templates === 0 && length <= 1452)).toBe(true);
    await until('they are counted', () => counts.records === 100);
  });

  test('is told the templates again each minute', async () => {
    const port = await listen(4);
    collector = new Collector({ collector: `127.0.0.1:${port}` }, outcome);
    await write(1);
    const told = () => messages.filter(({ templates }) => templates === 2).length;
    await until('the first', () => told() === 1 && messages.length === 2);
    collector.write(records(1));
    await until('a record', () => messages.length === 3);
    const now = performance.now() + 60_000;
    vi.spyOn(performance, 'now').mockReturnValue(now);
    collector.write(records(1));
    await until('the second', () => told() === 2 && messages.length === 5);
  });

  test('that goes is counted, warned of once, and told the templates when it is back', async () => {
    const port = await listen(4);
    collector = new Collector({ collector: `127.0.0.1:${port}` }, outcome);
    await write(1);
    await until('it came', () => messages.length === 2);
    const warned = warnings.length;
    await unlisten();
    await until('losses are counted', () => {
      collector.write(records(1));
      return counts.lost > 5;
    });
    expect(warnings.length).toBeLessThanOrEqual(Math.max(1, warned + 1));
    expect(warnings.at(-1)?.detail).toMatch(/^127\.0\.0\.1:\d+: |not connected yet/);
    await listen(4, port);
    await until('it is told', () => {
      collector.write(records(1));
      return messages.some(({ records }) => records.length === 1);
    });
    expect(messages[0]?.templates).toBe(2);
  });
});

describe('a file', () => {
  let folder: string;
  let path: string;
  let lines: JsonLines;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'headgate-flow-log-'));
    path = join(folder, 'flows.jsonl');
    lines = new JsonLines(path, outcome);
  });
  afterEach(async () => {
    await lines.close();
    rmSync(folder, { recursive: true });
  });

  const portsIn = (file: string) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => (JSON.parse(line) as { sourcePort: number }).sourcePort);
  const written = (count: number) => until(`${count} are written`, () => counts.records === count);

  test('gets an object a line, with every field', async () => {
    lines.write([toRecord(flowRecord())]);
    await written(1);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({
      start: '2026-01-02T03:04:05.678Z',
      end: '2026-01-02T03:04:09.001Z',
      protocol: 'tcp',
      tracker: 'lan',
      source: '10.0.0.1',
      sourcePort: 40000,
      destination: '10.0.0.2',
      destinationPort: 5432,
      state: 'closing',
      packets: [5, 4],
      bytes: [500, 4000],
      reason: 'end-of-flow',
      event: 'deleted',
      verdicts: [
        { workload: 'web', direction: 'out', action: 'allow', rule: 'shop/web-to-db' },
        { workload: 'db', direction: 'in', action: 'allow', rule: 'default' },
      ],
    });
  });

  test('that is renamed, replaced, or copied and cut, is followed without loss', async () => {
    lines.write(records(2));
    await written(2);
    renameSync(path, `${path}.1`);
    lines.write(records(2, 2));
    await written(4);
    expect([portsIn(`${path}.1`), portsIn(path)]).toEqual([
      [0, 1],
      [2, 3],
    ]);
    renameSync(path, `${path}.1`);
    writeFileSync(path, '');
    lines.write(records(1, 4));
    await written(5);
    expect(portsIn(path)).toEqual([4]);
    truncateSync(path);
    lines.write(records(1, 5));
    await written(6);
    expect(portsIn(path)).toEqual([5]);
    expect(counts.lost).toBe(0);
  });

  test('that cannot be opened: counted, warned of with its path, tried again', async () => {
    lines = new JsonLines(join(folder, 'not-there', 'flows'), outcome);
    lines.write(records(3));
    await until('they are counted', () => counts.lost === 3);
    expect(warnings).toEqual([
      { to: 'test', lost: 3, detail: expect.stringMatching(/not-there\/flows: .*ENOENT/) as string },
    ]);
    execFileSync('mkdir', [join(folder, 'not-there')]);
    lines.write(records(1));
    await written(1);
  });

  test('on a full device, and a pipe that nobody reads: lost, and nothing waits', async () => {
    lines = new JsonLines('/dev/full', outcome);
    lines.write(records(3));
    await until('they are counted', () => counts.lost === 3);
    execFileSync('mkfifo', [path]);
    lines = new JsonLines(path, outcome);
    lines.write(records(2));
    await until('they are counted', () => counts.lost === 5);
    expect(counts.records).toBe(0);
  });

  test('more than the queue takes is lost and counted, what is written stays whole', async () => {
    const many = records(5000);
    for (let i = 0; i < 20; i++) lines.write(many);
    expect(counts.lost).toBeGreaterThan(0);
    await until('the rest is written', () => counts.records + counts.lost === 100_000);
    expect(portsIn(path)).toHaveLength(counts.records);
  });

  test('a disk that fills up keeps whole lines, and takes more when there is room again', async () => {
    const disk = join(folder, 'disk');
    execFileSync('mkdir', [disk]);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', disk]);
    try {
      const file = join(disk, 'flows');
      writeFileSync(join(disk, 'ballast'), Buffer.alloc(16 * 1024));
      lines = new JsonLines(file, outcome);
      for (let i = 0; i < 10; i++) lines.write(records(50, i * 50));
      await until('all are counted', () => counts.records + counts.lost === 500);
      expect(counts.records).toBeGreaterThan(50);
      expect(counts.lost).toBeGreaterThan(50);
      const kept = portsIn(file);
      expect(kept).toHaveLength(counts.records);
      unlinkSync(join(disk, 'ballast'));
      lines.write(records(1, 999));
      await until('one more', () => portsIn(file).length === kept.length + 1);
      expect(portsIn(file)).toEqual([...kept, 999]);
      await lines.close();
    } finally {
      execFileSync('umount', [disk]);
    }
  });
});
