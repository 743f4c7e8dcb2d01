// The engine dies by SIGKILL: the next one finds the pools, looks at every record, and goes on with connections that
// were established. Without the pools they are lost: the negative control.
//
//     a (10.77.0.1) ---TAP--- engine <- SIGKILL ---TAP--- b (10.77.0.2, TCP 80, 90, UDP 53)
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Bed } from '../netns/bed.js';
import { ready, startBed } from './bed.js';

let bed: Bed;

beforeAll(async () => {
  bed = await startBed();
}, 60_000);
afterAll(() => bed?.stop());

test('an established connection outlives the engine', async () => {
  const a = bed.agent('a');
  expect(await a.use('kept')).toMatchObject({ outcome: 'reached' });
  const engine = await ready(bed);
  process.kill(engine, 'SIGKILL');
  try {
    await ready(bed, engine);
    expect(await a.use('kept', 5000)).toMatchObject({ outcome: 'reached' });
    expect(await a.tcp(bed.ipv4('b'), 90)).toMatchObject({ outcome: 'silent' });
    expect(await a.tcp(bed.ipv4('b'), 80)).toMatchObject({ outcome: 'reached' });
  } finally {
    console.log(bed.log());
  }
}, 60_000);
