// `headgate doctor` on real devices and processes: nothing to mend while all is well, then one thing after the other.
//
//     a (eth0) ---TAP--- Headgate ---TAP--- b (eth0)
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Result } from '../../src/cli/doctor/result.js';
import { PROGRAM } from '../../src/lab/headgate.js';
import { ip } from '../../src/lab/namespaces.js';
import { ALLOW_ALL, Bed } from './bed.js';

let bed: Bed;

beforeAll(async () => {
  bed = await Bed.start({ workloads: ['a', 'b'], rules: ALLOW_ALL });
}, 60_000);
afterAll(() => bed?.stop());

/** What is to be mended; what the machine itself lacks is not this test's. */
async function findings(): Promise<string[]> {
  const { code, stdout } = await new Promise<{ code: number; stdout: string }>((done) => {
    const args = ['doctor', '-o', 'json', '--run-dir', bed.folders.runDir];
    execFile(PROGRAM, args, (error, stdout) =>
      done({ code: error === null ? 0 : Number(error.code), stdout }),
    );
  });
  const results = JSON.parse(stdout) as Result[];
  const found = results.filter(({ state }) => state === 'mend');
  expect(code).toBe(found.length > 0 ? 1 : 0);
  return found
    .map(({ check }) => check)
    .filter((check) => !['clock', 'clocksource', 'memory'].includes(check));
}

test('finds nothing while all is well', async () => {
  expect(await findings()).toEqual([]);
});

test('finds MTUs that differ', async () => {
  ip('-n', bed.netns('a'), 'link', 'set', 'eth0', 'mtu', '1400');
  expect(await findings()).toEqual(['mtu']);
  ip('-n', bed.netns('a'), 'link', 'set', 'eth0', 'mtu', '1500');
});

test('finds a TAP that nobody has open', async () => {
  ip('-n', bed.netns('b'), 'tuntap', 'add', 'old0', 'mode', 'tap', 'vnet_hdr');
  expect(await findings()).toEqual(['taps']);
  ip('-n', bed.netns('b'), 'link', 'delete', 'old0');
});

test('finds a Headgate that has ended, and what it left', async () => {
  await bed.headgate?.stop();
  bed.headgate = undefined;
  expect(existsSync(join(bed.folders.runDir, 'pools'))).toBe(true);
  expect(await findings()).toEqual(['running', 'pools', 'taps', 'taps']);
});
