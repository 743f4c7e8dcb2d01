// The engine is replaced under traffic: no frame is lost, open connections live on, and it goes back again.
//
//     a (10.77.0.1) ---TAP--- engine, then another ---TAP--- b (10.77.0.2, TCP 80, UDP 53)
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Outcome } from '../../src/engine/handover-messages.js';
import { PROGRAM } from '../../src/lab/headgate.js';
import { waitUntil } from '../../src/lab/namespaces.js';
import { Bed } from '../netns/bed.js';

let bed: Bed;

beforeAll(async () => {
  bed = await Bed.start({
    workloads: ['a', 'b'],
    rules: [
      { name: 'udp', services: [{ protocol: 'udp', ports: [53] }], action: 'allow' },
      { name: 'tcp', services: [{ protocol: 'tcp', ports: [80] }], action: 'allow' },
    ],
  });
  await bed.agent('b').listen({ tcp: [80, 81], udp: [53] });
}, 60_000);
afterAll(() => bed?.stop());

function upgrade(...args: string[]): Outcome {
  const run = spawnSync(PROGRAM, ['upgrade', '--run-dir', bed.folders.runDir, '-o', 'json', ...args], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (run.status !== 0) throw new Error(`upgrade: ${run.stderr}\n${bed.log()}`);
  return JSON.parse(run.stdout) as Outcome;
}

test('ten upgrades and rollbacks under traffic lose no frame and no connection', async () => {
  const [a, b] = [bed.agent('a'), bed.agent('b')];
  expect(await a.hold('open', bed.ipv4('b'), 80)).toMatchObject({ outcome: 'reached' });
  const count = 10000;
  const traffic = a.sequence(bed.ipv4('b'), 53, count, 1);
  for (let i = 0; i < 10; i++) {
    const o = upgrade(...(i % 3 === 1 ? ['--rollback'] : []));
    console.log(i, o.pauseMicroseconds, o.prepareMilliseconds, o.connections);
    await waitUntil('control has the engine', async () => (await bed.status()).ready);
    const w = (await bed.stats()).workloads;
    console.log(w[0]?.sentPackets, w[1]?.receivedPackets, w[1]?.sentPackets, w[0]?.receivedPackets, await a.use('open'));
  }
  console.log(await traffic, await b.counted(53), (await bed.stats()).drops.filter((d) => d.packets));
  expect(await traffic).toEqual({ received: count, repeated: 0 });
  expect(await b.counted(53)).toEqual({ received: count, repeated: 0 });
  expect(await a.use('open')).toMatchObject({ outcome: 'reached' });
}, 120_000);
