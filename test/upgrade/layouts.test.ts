// Versions with different records of a connection: there and back under traffic, a start on what the other version left,
// and a start on what nobody knows.
//
//     a (10.77.0.1) ---TAP--- engine, one with other records ---TAP--- b (10.77.0.2, TCP 80, 90, UDP 53)
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Bed } from '../netns/bed.js';
import { otherVersion, ready, startBed, STREAM_MILLISECONDS, upgrade } from './bed.js';

let bed: Bed;
let next: string;

beforeAll(async () => {
  next = otherVersion({ addon: 'headgate_next.node' });
  bed = await startBed();
}, 60_000);
afterAll(() => bed?.stop());

test('there and back three times under traffic: no frame, no connection is lost', async () => {
  const [a, b] = [bed.agent('a'), bed.agent('b')];
  const count = 5000;
  const traffic = a.sequence(bed.ipv4('b'), 53, count, STREAM_MILLISECONDS);
  let engine = await ready(bed);
  for (let round = 0; round < 6; round++) {
    const outcome = upgrade(bed, round % 2 === 1 ? ['--rollback'] : [], next);
    console.log(outcome);
    expect(outcome.converted).toBeGreaterThan(0);
    expect(outcome.connections).toBeGreaterThanOrEqual(2);
    expect(await ready(bed, engine)).toBe(outcome.pid);
    engine = outcome.pid;
    expect(await a.use('kept')).toMatchObject({ outcome: 'reached' });
  }
  expect(await traffic).toEqual({ received: count, repeated: 0 });
  expect(await b.counted(53)).toEqual({ received: count, repeated: 0 });
}, 120_000);

test('an engine with other records starts on what one has left, and dies, and the one after goes on', async () => {
  const a = bed.agent('a');
  await bed.headgate?.stop();
  await bed.startHeadgate(next);
  const engine = await ready(bed);
  await bed.attached();
  expect(await a.use('kept', 5000)).toMatchObject({ outcome: 'reached' });
  process.kill(engine, 'SIGKILL');
  await ready(bed, engine);
  await bed.attached();
  expect(await a.use('kept', 5000)).toMatchObject({ outcome: 'reached' });
}, 60_000);

test('a layout that is unknown: a start without connections, and an alarm', async () => {
  const a = bed.agent('a');
  await bed.headgate?.stop();
  await bed.startHeadgate();
  await ready(bed);
  await bed.attached();
  const alarm =
    /alarm: The state 'connections' of the engine before was thrown away: its layout 3 is unknown here/;
  const { events } = await bed.control.get<{ events: { what: string }[] }>('/v1/events');
  expect(events.map(({ what }) => what).join('\n')).toMatch(alarm);
  expect(bed.log()).toMatch(/its layout 3 is unknown here/);
  expect((await bed.status()).engine?.start.left).toBe('nothing');
  expect(await a.use('kept')).toMatchObject({ outcome: 'silent' });
  expect(await a.tcp(bed.ipv4('b'), 80)).toMatchObject({ outcome: 'reached' });
}, 60_000);
