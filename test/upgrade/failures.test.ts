// An upgrade that cannot succeed leaves the engine in charge that is, says why, and costs no frame and no connection.
//
//     a (10.77.0.1) ---TAP--- engine ---TAP--- b (10.77.0.2, TCP 90, UDP 53)
//                             another engine, that fails
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../src/lab/namespaces.js';
import { Bed } from '../netns/bed.js';
import { otherVersion, ready, startBed, STREAM_MILLISECONDS, tryUpgrade, upgrade, type Run } from './bed.js';

let bed: Bed;

beforeAll(async () => {
  bed = await startBed();
}, 60_000);
afterAll(() => bed?.stop());

/** Fails with a message like this, under traffic that does not notice. */
async function fails(run: () => Run | Promise<Run>, message: RegExp): Promise<void> {
  const [a, b] = [bed.agent('a'), bed.agent('b')];
  const engine = await ready(bed);
  const before = await b.counted(53);
  const count = 750;
  const traffic = a.sequence(bed.ipv4('b'), 53, count, STREAM_MILLISECONDS);
  const { status, stderr } = await run();
  expect(stderr).toMatch(message);
  expect(status).toBe(1);
  expect(await ready(bed)).toBe(engine);
  expect(await traffic).toEqual({ received: count, repeated: 0 });
  expect((await b.counted(53)).received).toBeGreaterThanOrEqual(before.received);
  expect(await a.use('kept')).toMatchObject({ outcome: 'reached' });
  await bed.applyRules([...RULES_AGAIN]);
}
const RULES_AGAIN = [
  { name: 'udp', services: [{ protocol: 'udp', ports: [53] }], action: 'allow' },
  { name: 'tcp', services: [{ protocol: 'tcp', ports: [80] }], action: 'allow' },
];

test('its addon cannot be loaded', async () => {
  const program = otherVersion({ addon: { text: 'no library' } });
  await fails(() => tryUpgrade(bed, [], program), /did not take over: .*cannot be loaded/s);
}, 60_000);

test('it is killed while it prepares itself', async () => {
  const program = otherVersion({
    patch: {
      file: 'engine/follower.js',
      from: 'const native = addon.createEngine(',
      to: "process.kill(process.pid, 'SIGKILL'); const native = addon.createEngine(",
    },
  });
  await fails(() => tryUpgrade(bed, [], program), /did not take over: (it ended|SIGKILL)/);
}, 60_000);

test('it is killed at the last moment, when the one in charge lets go', async () => {
  const program = otherVersion({
    patch: {
      file: 'engine/follower.js',
      from: 'native.takeOver(',
      to: "process.kill(process.pid, 'SIGKILL') || native.takeOver(",
    },
  });
  await fails(() => tryUpgrade(bed, [], program), /did not take over: .*ended/);
}, 60_000);

test('it takes the ports and then fails', async () => {
  const program = otherVersion({
    patch: {
      file: 'engine/follower.js',
      from: 'await engine.prepare();',
      to: "throw new Error('no room for it');",
    },
  });
  await fails(() => tryUpgrade(bed, [], program), /did not take over: no room for it/);
}, 60_000);

test('the host file says something else that only a restart can change', async () => {
  const text = readFileSync(bed.config, 'utf8');
  writeFileSync(bed.config, text.replace('default: drop', 'default: drop\n  connections: 5000'));
  try {
    await fails(() => tryUpgrade(bed), /connections 5000 instead of 262144/);
  } finally {
    writeFileSync(bed.config, text);
  }
}, 60_000);

test('another layout of the state that nobody converts', async () => {
  const program = otherVersion({
    patch: {
      file: 'engine/follower.js',
      from: 'const { layouts, formerLayouts } = addon;',
      to: 'const { formerLayouts } = addon; const layouts = { ...addon.layouts, connections: 77 };',
    },
  });
  await fails(() => tryUpgrade(bed, [], program), /neither version knows the other's layout/);
}, 60_000);

test('there is no engine to go back to', async () => {
  await fails(() => tryUpgrade(bed, ['--rollback']), /No engine stands by/);
}, 60_000);

test('and then one succeeds, and its way back', async () => {
  const [a] = [bed.agent('a')];
  const first = await ready(bed);
  const outcome = upgrade(bed);
  expect(outcome.before.pid).toBe(first);
  expect(await ready(bed, first)).toBe(outcome.pid);
  expect(await a.use('kept')).toMatchObject({ outcome: 'reached' });
  expect(upgrade(bed, ['--rollback']).pid).toBe(first);
  await waitUntil('control is back', async () => (await bed.status()).engine?.pid === first);
  expect(await a.use('kept')).toMatchObject({ outcome: 'reached' });
}, 60_000);
