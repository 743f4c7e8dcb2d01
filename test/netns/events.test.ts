// `headgate events` with real devices and processes: a namespace that goes and comes back, an engine that is killed.
//
//     a (eth0) ---TAP--- Headgate ---TAP--- b (eth0)
import { afterAll, beforeAll, test } from 'vitest';
import type { EventsResult } from '../../src/control/api.js';
import { createNamespace, deleteNamespace, waitUntil } from '../../src/lab/namespaces.js';
import { ALLOW_ALL, Bed } from './bed.js';

let bed: Bed;

beforeAll(async () => {
  bed = await Bed.start({ workloads: ['a', 'b'], rules: ALLOW_ALL });
}, 60_000);
afterAll(() => bed?.stop());

/** Waits until something happened that is told so, after the event of that number; its own number. */
async function happened(what: RegExp, after = 0): Promise<number> {
  return waitUntil(String(what), async () => {
    const { events } = await bed.control.get<EventsResult>(`/v1/events?after=${after}`);
    return events.find((event) => what.test(event.what))?.number ?? false;
  });
}

test('tells of the revision, and of workloads that were attached', async () => {
  await happened(/^revision 1 is in force: apply/);
  await happened(/^a is attached$/);
  await happened(/^b is attached$/);
});

test('tells of a namespace that is deleted and comes back', async () => {
  const before = await happened(/^b is attached$/);
  deleteNamespace(bed.netns('b'));
  const lost = await happened(/^b was lost: /, before);
  createNamespace(bed.netns('b'));
  await happened(/^b is attached$/, lost);
});

test('tells of an engine that is killed, and of the next one', async () => {
  const { engine } = await bed.status();
  process.kill(engine?.pid ?? 0, 'SIGKILL');
  const lost = await happened(/^the engine is not connected/);
  const next = await happened(/^another engine is connected/, lost);
  await happened(/^the engine holds revision 1$/, next);
});
