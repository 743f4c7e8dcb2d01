// The systemd units: without faults, and no more exposed than promised.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const unitFile = (name: string) => join(ROOT, 'packaging/systemd', `headgate-${name}.service`);

/** What `systemd-analyze security` gives a unit: 0 (safe) to 10 (exposed). */
function exposure(file: string): number {
  const text = execFileSync('systemd-analyze', ['security', '--offline=true', '--no-pager', file], {
    encoding: 'utf8',
  });
  return Number(/Overall exposure level for \S+: ([\d.]+)/.exec(text)?.[1]);
}

// The promise is 2.0 and 5.0; these are what has been reached, so that a setting that gets lost is noticed.
test.each([
  ['control', 0.5],
  ['engine', 2.6],
])('the exposure of %s is at most %d', (name, most) => {
  expect(exposure(unitFile(name))).toBeLessThanOrEqual(most);
});

test('control with the network of one collector is exposed as little as is promised', () => {
  const folder = mkdtempSync(join(tmpdir(), 'headgate-units-'));
  try {
    const file = join(folder, 'headgate-control.service');
    const dropIn = join(ROOT, 'examples/monitoring/headgate-control-ipfix.conf');
    writeFileSync(file, readFileSync(unitFile('control'), 'utf8') + readFileSync(dropIn, 'utf8'));
    expect(exposure(file)).toBeLessThanOrEqual(1.2);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('systemd finds no fault in them', () => {
  const folder = mkdtempSync(join(tmpdir(), 'headgate-units-'));
  try {
    const files = ['engine', 'control'].map((name) => {
      const file = join(folder, `headgate-${name}.service`);
      // Before the package is installed the command is the clone's.
      writeFileSync(
        file,
        readFileSync(unitFile(name), 'utf8').replace('/usr/bin/headgate', join(ROOT, 'bin/headgate')),
      );
      return file;
    });
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', ...files], {
      encoding: 'utf8',
    });
    const ours = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('headgate'));
    expect({ status, ours }).toEqual({ status: 0, ours: [] });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
