// Many connections through upgrades to the same and to another layout, and through a crash: none is lost, and how long
// packets waited is told.
//
//     a (10.77.0.1) ---TAP--- engine, one with other records ---TAP--- b (10.77.0.2, sinks of UDP from 20000 on)
//
// HEADGATE_CONNECTIONS: how many (50,000).
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stand } from '../../src/lab/bench/standing.js';
import { waitUntil } from '../../src/lab/namespaces.js';
import { Bed } from '../netns/bed.js';
import { otherVersion, ready, upgrade } from './bed.js';

const MANY = Number(process.env['HEADGATE_CONNECTIONS'] ?? 50_000);

let bed: Bed;
let next: string;
const pauses = new Map<string, number[]>();

beforeAll(async () => {
  next = otherVersion({ addon: 'headgate_next.node' });
  bed = await Bed.start({
    workloads: ['a', 'b'],
    default: 'allow',
    host: {
      connections: MANY + 10_000,
      limits: { connections: MANY + 10_000, halfOpen: MANY + 10_000, newPerSecond: 10_000_000 },
      timeouts: { udpOneWay: 3600 },
    },
  });
  await bed.agent('b').listen({ tcp: [80], udp: [53] });
  expect(await bed.agent('a').tcp(bed.ipv4('b'), 80)).toMatchObject({ outcome: 'reached' });
  const ends = { client: bed.netns('a'), server: bed.netns('b'), serverAddress: bed.ipv4('b') };
  await stand(ends, MANY, async () => (await bed.stats()).connections);
}, 120_000);
afterAll(async () => {
  await bed?.stop();
  for (const [what, all] of pauses)
    console.log(`${MANY} connections, ${what}: ${all.map(Math.round).join(', ')} microseconds`);
});

function note(what: string, pause: number): void {
  pauses.set(what, [...(pauses.get(what) ?? []), pause]);
}

test('the same layout: nothing is copied', async () => {
  let engine = await ready(bed);
  for (let i = 0; i < 6; i++) {
    const outcome = upgrade(bed, i % 2 === 1 ? ['--rollback'] : []);
    expect(outcome.converted).toBe(0);
    expect(outcome.connections).toBeGreaterThanOrEqual(MANY);
    note('same layout', outcome.pauseMicroseconds);
    engine = await ready(bed, engine);
  }
}, 120_000);

test('another layout, and back', async () => {
  let engine = await ready(bed);
  for (let i = 0; i < 6; i++) {
    const outcome = upgrade(bed, i % 2 === 1 ? ['--rollback'] : [], next);
    expect(outcome.converted).toBeGreaterThanOrEqual(MANY);
    expect(outcome.connections).toBeGreaterThanOrEqual(MANY);
    note('changed layout', outcome.pauseMicroseconds);
    engine = await ready(bed, engine);
  }
}, 120_000);

test('a crash', async () => {
  let engine = await ready(bed);
  for (let i = 0; i < 3; i++) {
    await sleep(1200); // one that lived for a second is started again at once
    const to = bed.ipv4('b');
    const began = performance.now();
    process.kill(engine, 'SIGKILL');
    await waitUntil(
      'frames pass again',
      async () => (await bed.agent('a').udp(to, 53, 40)).outcome === 'reached',
    );
    note('crash, until a datagram is answered', (performance.now() - began) * 1000);
    engine = await ready(bed, engine);
    expect((await bed.status()).engine?.start).toMatchObject({
      left: 'in-disorder',
      forgotten: 0,
      alarms: [],
    });
    expect((await bed.stats()).connections).toBeGreaterThanOrEqual(MANY);
  }
}, 120_000);
