// `headgate lab up`, `check` and `down`, as an operator uses them.
//
//     left (10.78.0.1) ---TAP--- Headgate ---TAP--- right (10.78.0.2)      left may ping right, and nothing else
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { isAlive, PROGRAM } from '../../src/lab/headgate.js';
import { document, policy } from './bed.js';

const directory = mkdtempSync('/run/hg-lab-');
chmodSync(directory, 0o755); // control, an ordinary user, reads below it
const folder = join(directory, 'documents');
const runDir = join(directory, 'run');
const netns = (name: string) => `hg${process.pid}-${name}`;
const ping = [{ protocol: 'icmp', icmpType: 8 }];

function lab(command: string, ...more: string[]) {
  const args = ['lab', command, '-f', folder, '--run-dir', runDir, ...more];
  return spawnSync(PROGRAM, args, { encoding: 'utf8', timeout: 60_000 });
}

function write(name: string, ...documents: unknown[]): void {
  writeFileSync(join(folder, name), documents.map((one) => stringify(one)).join('---\n'));
}

beforeAll(() => {
  mkdirSync(join(folder, 'lab'), { recursive: true });
  const workload = (name: string, address: string) =>
    document('Workload', name, {
      segment: 'lan',
      attach: { tap: { netns: netns(name), name: 'eth0', addresses: [address] } },
    });
  write('host.yaml', document('Host', 'lab', { default: 'drop', attach: { namespaces: ['hg*'] } }));
  write(
    'lab.yaml',
    document('Segment', 'lan', {}),
    workload('left', '10.78.0.1/24'),
    workload('right', '10.78.0.2/24'),
  );
  const right = { workloads: { names: ['right'] } };
  write('policy.yaml', policy([{ name: 'ping', to: right, services: ping, action: 'allow' }]));
  writeFileSync(join(folder, 'lab', 'expected.yaml'), 'allow: [{from: left, to: right, services: [icmp]}]\n');
});
afterAll(() => {
  lab('down');
  rmSync(directory, { recursive: true, force: true });
});

test('up, check, a second up, down', () => {
  expect(lab('up')).toMatchObject({
    status: 0,
    stdout: expect.stringContaining(`ip netns exec ${netns('left')} ping`),
  });
  const { pid } = JSON.parse(readFileSync(`${runDir}-lab/lab.json`, 'utf8')) as { pid: number };
  expect(isAlive(pid)).toBe(true);

  const checked = lab('check', '-o', 'json');
  expect(checked.status).toBe(0);
  const rows = JSON.parse(checked.stdout) as {
    from: string;
    service: string;
    outcome: string;
    faults: string[];
  }[];
  expect(rows.filter(({ outcome }) => outcome === 'reached')).toMatchObject([
    { from: 'left', service: 'icmp' },
  ]);
  expect(rows.flatMap(({ faults }) => faults)).toEqual([]);

  expect(lab('up')).toMatchObject({ status: 1, stderr: expect.stringContaining('A lab is up already') });
  expect(isAlive(pid)).toBe(true);

  // What was meant changes, the policy does not: that must not pass.
  writeFileSync(
    join(folder, 'lab', 'expected.yaml'),
    'allow: [{from: left, to: right, services: [tcp/80]}]\n',
  );
  const differs = lab('check');
  expect(differs.status).toBe(1);
  expect(differs.stdout).toMatch(/WRONG left -> right tcp\/80 IPv4: expected to be reached/);
  expect(differs.stdout).toMatch(/WRONG left -> right icmp IPv4: expected to be denied/);

  expect(lab('down').status).toBe(0);
  expect(isAlive(pid)).toBe(false);
  for (const name of ['left', 'right']) expect(existsSync(`/run/netns/${netns(name)}`)).toBe(false);
  expect(existsSync(`${runDir}-lab`)).toBe(false);
  expect(lab('down')).toMatchObject({ status: 0, stderr: expect.stringContaining('No lab is up') });
}, 120_000);

test('a failed up leaves nothing behind', () => {
  write(
    'policy.yaml',
    policy([{ name: 'ping', to: { groups: ['nobody'] }, services: ping, action: 'allow' }]),
  );
  expect(lab('up')).toMatchObject({ status: 1, stderr: expect.stringMatching(/policy\.yaml:\d+.*nobody/s) });
  for (const name of ['left', 'right']) expect(existsSync(`/run/netns/${netns(name)}`)).toBe(false);
  expect(existsSync(`${runDir}-lab`)).toBe(false);
}, 60_000);
