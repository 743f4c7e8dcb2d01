// scripts/demo itself: it passes with the policy of the example, fails with a wrong one, and leaves nothing behind,
// also when it is interrupted. The topology is drawn in examples/three-tier/policy.yaml.
//
// Every process that the demo starts inherits an environment variable; whoever still has it afterwards was left over.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { waitUntil } from '../../src/lab/namespaces.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DEMO = join(ROOT, 'scripts/demo');
const EXAMPLE = join(ROOT, 'examples/three-tier');
const mark = `HEADGATE_DEMO_TEST=${process.pid}-${Math.random()}`;
const SERVICES = ['tcp/80', 'tcp/443', 'tcp/8080', 'tcp/5432', 'tcp/9999', 'udp/5353', 'udp/9998', 'icmp'];
const folders: string[] = [];
afterEach(() => folders.splice(0).forEach((folder) => rmSync(folder, { recursive: true })));

function start(...args: string[]): {
  child: ChildProcess;
  said: () => string;
  ended: Promise<number | string>;
} {
  const [name = '', value = ''] = mark.split('=');
  const child = spawn(DEMO, args, { env: { ...process.env, [name]: value }, detached: true });
  let said = '';
  child.stdout?.on('data', (data: Buffer) => (said += data.toString()));
  child.stderr?.on('data', (data: Buffer) => (said += data.toString()));
  const ended = new Promise<number | string>((resolve) =>
    child.once('exit', (code, signal) => resolve(code ?? signal ?? '')),
  );
  return { child, said: () => said, ended };
}

/** Processes that carry the mark, with their command lines. */
function left(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const marked = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(mark);
        return marked ? [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`] : [];
      } catch {
        return [];
      }
    });
}

const machine = () =>
  [
    ['ip', '-brief', 'link'],
    ['ip', 'netns', 'list'],
    ['ip', 'rule'],
    ['nft', 'list', 'ruleset'],
  ].map(([command = '', ...args]) => spawnSync(command, args, { encoding: 'utf8' }).stdout);

/** A copy of the example with one word of its policy changed. */
function wrongPolicy(from: string, to: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'hg-wrong-'));
  folders.push(folder);
  cpSync(EXAMPLE, folder, { recursive: true });
  const file = join(folder, 'policy.yaml');
  const text = readFileSync(file, 'utf8');
  expect(text).toContain(from);
  writeFileSync(file, text.replace(from, to));
  return folder;
}

test('it passes, tries every pair each way, and leaves nothing behind', async () => {
  const before = machine();
  const demo = start();
  const status = await demo.ended;
  expect(status, demo.said()).toBe(0);
  const text = demo.said();
  const names = ['client-1', 'web-1', 'web-2', 'app-1', 'db-1'];
  for (const from of names) {
    for (const to of names.filter((name) => name !== from)) {
      const line = new RegExp(`^${from} +${to} +\\S.* (reached|refused|silent) +(reached|refused|silent) `);
      const lines = text.split('\n').filter((one) => line.test(one));
      for (const service of SERVICES) {
        const tried = lines.filter((one) => one.split(/\s+/).includes(service));
        expect(tried, `${from} -> ${to} ${service}`).toHaveLength(1);
      }
    }
  }
  expect(text).toMatch(
    /^web-1 +db-1 .*tcp\/5432 .*icmp +refused +refused +reject +leaving web-1: guardrails\/web-never-to-db rejects/m,
  );
  expect(text).toMatch(/iperf3.*Gbit\/s/);
  expect(text).toMatch(/scapy.*none arrived/);
  expect(text).not.toContain('WRONG');
  expect(left()).toEqual([]);
  expect(machine()).toEqual(before);
}, 180_000);

test.each([
  [
    'a rule that allows too much',
    'services: [database, ping]',
    'services: [database, ping, api]',
    /app-1 -> db-1 tcp\/8080 IPv4/,
  ],
  [
    'a rule that allows too little',
    'services: [web, ping]',
    'services: [web]',
    /client-1 -> web-1 icmp IPv6/,
  ],
])(
  '%s makes it fail',
  async (_, from, to, message) => {
    const demo = start('--policy', wrongPolicy(from, to));
    const status = await demo.ended;
    expect(status, demo.said()).toBe(1);
    expect(demo.said()).toMatch(message);
    expect(left()).toEqual([]);
  },
  180_000,
);

test('a policy that is no YAML makes it fail, in words', async () => {
  const demo = start('--policy', wrongPolicy('kind: Group', 'kind: [Group'));
  expect(await demo.ended).toBe(1);
  expect(demo.said()).toMatch(/policy\.yaml:\d+/);
  expect(left()).toEqual([]);
}, 60_000);

// Moments are what the demo says when it reaches them.
const moments = ['making 5 namespaces', 'starting headgate run', 'applying', 'trying'];
test.each(
  moments.flatMap((moment) =>
    (['SIGINT', 'SIGTERM', 'SIGKILL'] as const).map((signal) => [signal, moment] as const),
  ),
)(
  '%s when it says "%s" leaves nothing behind',
  async (signal, moment) => {
    const before = machine();
    const demo = start();
    const ended = demo.ended.then((status) =>
      Promise.reject(new Error(`it ended before (${status}): ${demo.said()}`)),
    );
    await Promise.race([waitUntil(moment, () => demo.said().includes(moment), 60_000), ended]);
    ended.catch(() => undefined);
    demo.child.kill(signal);
    expect(await demo.ended).not.toBe(0);
    await waitUntil('all processes are gone', () => left().length === 0, 5000).catch(() =>
      expect(left()).toEqual([]),
    );
    expect(machine()).toEqual(before);
  },
  90_000,
);

test('--keep leaves it up and says how to look around and how to take it down', async () => {
  const demo = start('--keep');
  const status = await demo.ended;
  expect(status, demo.said()).toBe(0);
  const [, enter = ''] = /nsenter --target (\d+)/.exec(demo.said()) ?? [];
  const look = [
    '--target',
    enter,
    '--mount',
    '--net',
    '--pid',
    '--wdns=/run/project',
    'bin/headgate',
    'get',
    'workloads',
  ];
  const shown = spawnSync('nsenter', look, { encoding: 'utf8' });
  expect(shown.stdout).toContain('client-1');
  const [, kill = ''] = /^ +kill (\d+)$/m.exec(demo.said()) ?? [];
  process.kill(Number(kill), 'SIGTERM');
  await waitUntil('all processes are gone', () => left().length === 0, 5000).catch(() =>
    expect(left()).toEqual([]),
  );
}, 180_000);
