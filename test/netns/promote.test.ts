// A rule that observes: traffic passes and is counted as what would have been dropped; promoted, it drops.
//
//     a (10.77.0.1) ---TAP--- Headgate ---TAP--- b (10.77.0.2), listens on TCP 80
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ObservedResult } from '../../src/control/api.js';
import { PROGRAM } from '../../src/lab/headgate.js';
import { Bed } from './bed.js';

let bed: Bed;

beforeAll(async () => {
  bed = await Bed.start({
    workloads: ['a', 'b'],
    rules: [
      { name: 'no-web', services: [{ protocol: 'tcp', ports: [80] }], action: 'drop', mode: 'observe' },
      { name: 'all', action: 'allow' },
    ],
  });
  await bed.agent('b').listen({ tcp: [80] });
}, 60_000);
afterAll(() => bed?.stop());

const headgate = (...args: string[]) =>
  spawnSync(PROGRAM, [...args, '--run-dir', bed.folders.runDir], { encoding: 'utf8' });

test('lets traffic pass, and tells what would have been dropped at whom', async () => {
  expect(await bed.agent('a').tcp(bed.ipv4('b'), 80)).toMatchObject({ outcome: 'reached' });
  const { hits } = await bed.control.get<ObservedResult>('/v1/observed');
  expect(
    hits.map(({ workload, rule, action, direction }) => `${workload} ${direction} ${action} ${rule}`),
  ).toEqual(['a out drop test/no-web', 'b in drop test/no-web']);
  for (const { flows } of hits) expect(flows).toBe(1);
  expect(headgate('get', 'workloads').stderr).toContain('1 rule observes only (test)');
});

test('promoted, it drops', async () => {
  expect(headgate('promote', 'test/no-web', '--yes')).toMatchObject({ status: 0 });
  expect(await bed.agent('a').tcp(bed.ipv4('b'), 80)).toMatchObject({ outcome: 'silent' });
  expect(headgate('get', 'workloads').stderr).toBe('');
  expect(headgate('get', 'observed').stdout).toMatch(/^WORKLOAD[^\n]*\n$/);
});
