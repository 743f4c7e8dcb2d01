// The engine dies by SIGKILL: the next one finds the pools, looks at every record, and goes on with connections that
// were established. Without the pools they are lost: that is the negative control, at the end.
//
//     a (10.77.0.1) ---TAP--- engine <- SIGKILL ---TAP--- b (10.77.0.2, TCP 80, 90, UDP 53)
import { afterAll, beforeAll, expect, test } from 'vitest';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { waitUntil } from '../../src/lab/namespaces.js';
import { Bed } from '../netns/bed.js';
import { ready, startBed } from './bed.js';

let bed: Bed;

beforeAll(async () => {
  bed = await startBed();
}, 60_000);
afterAll(() => bed?.stop());

test('an established connection outlives the engine, counters go on', async () => {
  const a = bed.agent('a');
  expect(await a.use('kept')).toMatchObject({ outcome: 'reached' });
  const engine = await ready(bed);
  const before = await bed.stats();
  process.kill(engine, 'SIGKILL');
  await ready(bed, engine);
  expect((await bed.status()).engine?.start).toMatchObject({ left: 'in-disorder', forgotten: 0, alarms: [] });
  const after = await bed.stats();
  for (const [i, one] of before.workloads.entries())
    expect(after.workloads[i]?.sentPackets).toBeGreaterThanOrEqual(one.sentPackets);
  expect(await a.use('kept', 5000)).toMatchObject({ outcome: 'reached' });
  expect(await a.tcp(bed.ipv4('b'), 90)).toMatchObject({ outcome: 'silent' });
  expect(await a.tcp(bed.ipv4('b'), 80)).toMatchObject({ outcome: 'reached' });
}, 60_000);

test('an orderly restart of everything too', async () => {
  const a = bed.agent('a');
  await bed.headgate?.stop();
  await bed.startHeadgate();
  await ready(bed);
  await bed.attached();
  // Who dies before that has not started: then all of it ends.
  await waitUntil('`headgate run` has seen that it is ready, again', () => {
    return (readFileSync(bed.folders.log, 'utf8').match(/^headgate: ready/gm) ?? []).length === 2;
  });
  expect((await bed.status()).engine?.start).toMatchObject({ left: 'in-order', alarms: [] });
  expect(await a.use('kept', 5000)).toMatchObject({ outcome: 'reached' });
}, 60_000);

test('control dies meanwhile, and nobody notices', async () => {
  const { pid } = await bed.status();
  const count = 1000;
  const traffic = bed.agent('a').sequence(bed.ipv4('b'), 53, count, 2);
  process.kill(pid, 'SIGKILL');
  await waitUntil('control is back', async () => {
    const status = await bed.status().catch(() => undefined);
    return status?.ready === true && status.pid !== pid;
  });
  expect(await traffic).toEqual({ received: count, repeated: 0 });
  expect(await bed.agent('a').use('kept')).toMatchObject({ outcome: 'reached' });
}, 60_000);

test('a pool whose header is damaged: a start without connections, and an alarm', async () => {
  await bed.headgate?.stop();
  const pool = join(bed.folders.runDir, 'pools/connections');
  const file = openSync(pool, 'r+');
  writeSync(file, Buffer.from([0xff]), 0, 1, 9);
  closeSync(file);
  await bed.startHeadgate();
  await ready(bed);
  await bed.attached();
  const { start } = (await bed.status()).engine ?? expect.fail();
  expect(start.left).toBe('nothing');
  expect(start.alarms.join()).toMatch(
    /'connections' of the engine before was thrown away: its header is damaged/,
  );
  expect(await bed.agent('a').use('kept', 2000)).toMatchObject({ outcome: 'silent' });
  expect(await bed.agent('a').tcp(bed.ipv4('b'), 80)).toMatchObject({ outcome: 'reached' });
}, 60_000);
