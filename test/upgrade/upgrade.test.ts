// The engine is replaced under traffic, ten times there and back: no frame and no connection is lost, of a stream of
// datagrams, a session that says a word now and then, and a long download whose checksum is compared.
//
//     a (10.77.0.1) ---TAP--- engine, then another ---TAP--- b (10.77.0.2, TCP 80, 90, download on 80, UDP 53)
//
// The negative control: an engine that begins without what the one before knew ends the session.
import { readdirSync, rmSync } from 'node:fs';
import { getPriority } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { spawnIn } from '../../src/lab/namespaces.js';
import { Bed } from '../netns/bed.js';
import { ready, startBed, STREAM_MILLISECONDS, tryUpgrade, upgrade } from './bed.js';

let bed: Bed;

beforeAll(async () => {
  bed = await startBed();
}, 60_000);
afterAll(() => bed?.stop());

const DOWNLOAD_PORT = 82;
/** Sends pseudo-random bytes for so many seconds, and says their SHA-256. */
const SERVER = `
import hashlib, random, socket, sys, time
s = socket.create_server(("", ${DOWNLOAD_PORT}))
print("listens", flush=True)
c, _ = s.accept()
digest, end, numbers = hashlib.sha256(), time.time() + float(sys.argv[1]), random.Random(7)
while time.time() < end:
    block = numbers.randbytes(100000)
    digest.update(block)
    c.sendall(block)
    time.sleep(0.01)
c.close()
print(digest.hexdigest(), flush=True)
`;
const CLIENT = `
import hashlib, socket, sys
c = socket.create_connection((sys.argv[1], ${DOWNLOAD_PORT}))
digest, size = hashlib.sha256(), 0
while block := c.recv(1 << 20):
    digest.update(block)
    size += len(block)
print(digest.hexdigest(), size, flush=True)
`;

/** The words of the n-th line that a program says. */
function lines(program: ReturnType<typeof spawnIn>): (n: number) => Promise<string[]> {
  let said = '';
  program.stdout?.on('data', (data: Buffer) => (said += data.toString()));
  const ended = new Promise<void>((resolve) => program.once('close', () => resolve()));
  return async (n) => {
    while (said.split('\n').length <= n + 1)
      if (
        (await Promise.race([
          ended.then(() => 'ended'),
          new Promise((resolve) => setTimeout(resolve, 20)),
        ])) === 'ended'
      )
        break;
    return (said.split('\n')[n] ?? '').split(' ');
  };
}

test('ten upgrades and rollbacks: a download, a session and a stream do not notice', async () => {
  const [a, b] = [bed.agent('a'), bed.agent('b')];
  await bed.applyRules([
    { name: 'udp', services: [{ protocol: 'udp', ports: [53] }], action: 'allow' },
    { name: 'tcp', services: [{ protocol: 'tcp', ports: [80, DOWNLOAD_PORT] }], action: 'allow' },
  ]);
  const seconds = 30;
  const server = lines(spawnIn(bed.netns('b'), ['python3', '-c', SERVER, String(seconds)]));
  expect(await server(0)).toEqual(['listens']);
  const client = lines(spawnIn(bed.netns('a'), ['python3', '-c', CLIENT, bed.ipv4('b')]));
  const count = 8000;
  const traffic = a.sequence(bed.ipv4('b'), 53, count, STREAM_MILLISECONDS);
  let engine = await ready(bed);
  const pauses: number[] = [];
  for (let i = 0; i < 10; i++) {
    const outcome = upgrade(bed, i % 2 === 1 ? ['--rollback'] : []);
    expect(outcome.before.pid).toBe(engine);
    expect(outcome.converted).toBe(0); // nothing was copied
    expect(outcome.connections).toBeGreaterThanOrEqual(3);
    pauses.push(outcome.pauseMicroseconds);
    expect(await ready(bed, engine)).toBe(outcome.pid);
    engine = outcome.pid;
    expect(await a.use('kept')).toMatchObject({ outcome: 'reached' });
    expect(await a.tcp(bed.ipv4('b'), 90, 200)).toMatchObject({ outcome: 'silent' });
  }
  console.log(`packets waited ${pauses.map(Math.round).join(', ')} microseconds`);
  expect(await traffic).toEqual({ received: count, repeated: 0 });
  expect(await b.counted(53)).toEqual({ received: count, repeated: 0 });
  const [sent] = await server(1);
  const [got, size] = await client(0);
  expect(got).toBe(sent);
  expect(Number(size)).toBeGreaterThan(10_000_000);
}, 180_000);

test('hits, counters and the policy are the same afterwards, and a change goes to the engine in charge', async () => {
  const engine = await ready(bed);
  const before = await bed.stats();
  const { pid } = upgrade(bed);
  expect(await ready(bed, engine)).toBe(pid);
  // It has prepared itself behind the one before, and is behind nobody any more.
  expect(readdirSync(`/proc/${pid}/task`).filter((thread) => getPriority(Number(thread)) !== 0)).toEqual([]);
  const after = await bed.stats();
  expect(after.generation).toBe(before.generation);
  const flows = (stats: typeof before) =>
    stats.hits
      .map(({ rule, workload, direction, flows }) => `${rule} ${workload} ${direction} ${flows}`)
      .toSorted();
  expect(flows(after)).toEqual(flows(before));
  await bed.applyRules([{ name: 'other', services: [{ protocol: 'tcp', ports: [81] }], action: 'allow' }]);
  expect(await bed.agent('a').tcp(bed.ipv4('b'), 81)).toMatchObject({ outcome: 'reached' });
  expect(await bed.agent('a').tcp(bed.ipv4('b'), 80)).toMatchObject({ outcome: 'silent' });
}, 60_000);

test('a change that is made while the engine is replaced takes effect', async () => {
  const engine = await ready(bed);
  const rules = (port: number) => [
    { name: 'other', services: [{ protocol: 'tcp', ports: [port] }], action: 'allow' },
  ];
  const changes = (async () => {
    for (let i = 0; i < 20; i++) await bed.applyRules(rules(i % 2 === 0 ? 81 : 80));
  })();
  const { pid } = await new Promise<ReturnType<typeof upgrade>>((resolve) =>
    setTimeout(() => resolve(upgrade(bed)), 20),
  );
  await changes;
  expect(await ready(bed, engine)).toBe(pid);
  expect(await bed.agent('a').tcp(bed.ipv4('b'), 80)).toMatchObject({ outcome: 'reached' });
  expect(await bed.agent('a').tcp(bed.ipv4('b'), 81)).toMatchObject({ outcome: 'silent' });
}, 60_000);

test('the negative control: without the state the session is over', async () => {
  expect(await bed.agent('a').use('kept')).toMatchObject({ outcome: 'reached' });
  await bed.headgate?.stop();
  expect(tryUpgrade(bed).stderr).toMatch(/No engine answers/);
  rmSync(join(bed.folders.runDir, 'pools'), { recursive: true });
  await bed.startHeadgate();
  await ready(bed);
  await bed.attached();
  expect(await bed.agent('a').use('kept', 2000)).toMatchObject({ outcome: 'silent' });
}, 60_000);
