// The engine is killed again and again at random moments, under load: connections that were established live on, no
// verdict is wrong, and no record that makes no sense is trusted.
//
//     a (10.77.0.1) ---TAP--- engine <- SIGKILL ---TAP--- b (10.77.0.2, TCP 80, 90, UDP 53)
//
// HEADGATE_KILLS: how often (6); HEADGATE_SEED: of the moments.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../src/lab/namespaces.js';
import type { Agent } from '../../src/lab/probe.js';
import { Bed } from '../netns/bed.js';
import { Random } from '../support/random.js';
import { ready, startBed } from './bed.js';

const KILLS = Number(process.env['HEADGATE_KILLS'] ?? 6);
const HELD = 20;

let bed: Bed;
let stop = false;

beforeAll(async () => {
  bed = await startBed();
}, 60_000);
afterAll(async () => {
  stop = true;
  await bed?.stop();
});

/** New connections and datagrams all the time, so that records come and go at the moment of the kill. */
async function load(agent: Agent, to: string): Promise<void> {
  while (!stop) {
    await Promise.all([
      agent.sequence(to, 53, 200, 1),
      ...Array.from({ length: 8 }, () => agent.tcp(to, 80, 500)),
      ...Array.from({ length: 4 }, () => agent.tcp(to, 90, 200)),
      agent.udp(to, 54, 100),
    ]).catch(() => undefined);
  }
}

test(
  `${KILLS} kills under load`,
  async () => {
    const seed = Number(process.env['HEADGATE_SEED'] ?? Date.now() % 2 ** 31);
    const random = new Random(seed);
    const rerun = `repeat with: HEADGATE_SEED=${seed} HEADGATE_KILLS=${KILLS} scripts/sandbox npx vitest run test/upgrade/kills.test.ts`;
    const a = bed.agent('a');
    for (let i = 0; i < HELD; i++)
      expect(await a.hold(`h${i}`, bed.ipv4('b'), 80), rerun).toMatchObject({ outcome: 'reached' });
    const loads = load(a, bed.ipv4('b'));
    let engine = await ready(bed);
    const outages: number[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      await sleep(random.below(400));
      process.kill(engine, 'SIGKILL');
      const began = performance.now();
      engine = await ready(bed, engine);
      outages.push(performance.now() - began);
      const { start } = (await bed.status()).engine ?? expect.fail(rerun);
      expect(start.left, rerun).toBe('in-disorder');
      expect(start.alarms, rerun).toEqual([]);
      expect(start.connections, rerun).toBeGreaterThan(HELD);
      // Of the batch in which it died one may be half there; none that was established.
      expect(start.forgotten, rerun).toBeLessThanOrEqual(64);
      if (kill % 10 !== 0 && kill !== KILLS - 1) continue;
      for (let i = 0; i < HELD; i++)
        expect(await a.use(`h${i}`, 10_000), rerun).toMatchObject({ outcome: 'reached' });
      expect(await a.use('kept', 10_000), rerun).toMatchObject({ outcome: 'reached' });
      expect(await a.tcp(bed.ipv4('b'), 90, 300), rerun).toMatchObject({ outcome: 'silent' });
      expect(await a.udp(bed.ipv4('b'), 54, 300), rerun).toMatchObject({ outcome: 'silent' });
    }
    stop = true;
    await loads;
    const sorted = outages.toSorted((x, y) => x - y);
    console.log(
      `control had the next engine after ${sorted.map(Math.round).join(', ')} ms (up to 1 s of it is waiting)`,
    );
    await waitUntil(
      'new connections work',
      async () => (await a.tcp(bed.ipv4('b'), 80)).outcome === 'reached',
    );
  },
  60_000 + KILLS * 10_000,
);
