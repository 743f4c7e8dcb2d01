// Fragments on real frames: in any order they reach a real socket; overlapping ones and those of a denied flow do not.
//
//     a (10.77.0.1, fd77::1) ---TAP--- Headgate ---TAP--- b (10.77.0.2, fd77::2), whose kernel puts them together
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { execIn } from '../../src/lab/namespaces.js';
import { Bed } from './bed.js';

const PROGRAM = fileURLToPath(new URL('fragments.py', import.meta.url));
let bed: Bed;

beforeAll(async () => {
  bed = await Bed.start({
    workloads: ['a', 'b'],
    rules: [{ name: 'dns', services: [{ protocol: 'udp', ports: [53] }], action: 'allow' }],
  });
}, 60_000);
afterAll(() => bed?.stop());

test('fragments arrive in whatever order they are sent', async () => {
  const said = await execIn(bed.netns('a'), ['/usr/bin/python3', PROGRAM, bed.netns('a'), bed.netns('b')]);
  const orders = { 'in order': true, reverse: true, shuffled: true, doubled: true };
  const expected = { overlapping: false, 'denied, reverse': false, ...orders };
  expect(JSON.parse(said)).toEqual(
    Object.fromEntries(
      ['IPv4', 'IPv6'].flatMap((family) =>
        Object.entries(expected).map(([order, arrived]) => [`${family} ${order}`, arrived]),
      ),
    ),
  );
}, 60_000);

test('what did not arrive is counted for its reason', async () => {
  const pieces = 2 * 11; // of a datagram of each family, at least
  // The one that overlaps, and all behind it.
  expect(await bed.drops('fragment-overlap', 'a')).toBeGreaterThanOrEqual(pieces - 2);
  expect(await bed.drops('default-drop', 'a')).toBeGreaterThanOrEqual(pieces);
  expect(await bed.drops('fragment-duplicate', 'a')).toBeGreaterThanOrEqual(pieces - 2);
  expect(await bed.drops('fragment-timeout', 'a')).toBe(0);
});
