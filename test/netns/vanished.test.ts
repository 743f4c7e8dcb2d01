// What the engine is attached to goes away under traffic: a namespace is deleted, a device is deleted. The others
// notice nothing, the workload waits and says why, and when it is back it is attached again.
//
//     a (10.77.0.1) ---TAP---+
//     b (10.77.0.2) ---TAP---+ Headgate
//     c (10.77.0.3) ---TAP---+            <- namespace deleted, made again; device deleted
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createNamespace, deleteNamespace, ip, waitUntil } from '../../src/lab/namespaces.js';
import { Agent } from '../../src/lab/probe.js';
import { ALLOW_ALL, Bed } from './bed.js';

let bed: Bed;

beforeAll(async () => {
  bed = await Bed.start({ workloads: ['a', 'b', 'c'], rules: ALLOW_ALL });
  await bed.agent('b').listen({ tcp: [80], udp: [53] });
}, 60_000);
afterAll(() => bed?.stop());

const waits = () => waitUntil('c waits', async () => (await bed.attachment('c')).state !== 'attached');

test('a namespace is deleted under traffic and made again', async () => {
  const engine = (await bed.status()).engine?.pid;
  const count = 1500;
  const traffic = bed.agent('a').sequence(bed.ipv4('b'), 53, count, 2);
  const lost = bed.agent('a').sequence(bed.ipv4('c'), 53, count, 2);

  await bed.agent('c').close();
  deleteNamespace(bed.netns('c'));
  await waits();
  expect((await bed.attachment('c')).detail).toMatch(/namespace|netns|device/i);
  expect(await bed.agent('a').ping(bed.ipv4('c'))).not.toMatchObject({ outcome: 'reached' });
  expect(await traffic).toEqual({ received: count, repeated: 0 });
  await lost;

  createNamespace(bed.netns('c'));
  await bed.attached('c');
  bed.agents['c'] = await Agent.start(bed.netns('c'));
  await waitUntil(
    'c can be reached again',
    async () => (await bed.agent('a').ping(bed.ipv4('c'), 500)).outcome === 'reached',
  );
  expect((await bed.status()).engine?.pid).toBe(engine);
}, 60_000);

test('a device is deleted under traffic and made again by the engine', async () => {
  const count = 1000;
  const traffic = bed.agent('a').sequence(bed.ipv4('b'), 53, count, 2);
  ip('-n', bed.netns('c'), 'link', 'delete', 'eth0');
  await waitUntil('c is attached to a new device', async () => {
    const { state } = await bed.attachment('c');
    return state === 'attached' && ip('-n', bed.netns('c'), 'link').includes('eth0');
  });
  expect(await traffic).toEqual({ received: count, repeated: 0 });
  await bed.attached('c');
  await waitUntil(
    'c can be reached again',
    async () => (await bed.agent('a').ping(bed.ipv4('c'), 500)).outcome === 'reached',
  );
}, 60_000);
