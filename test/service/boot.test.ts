// The installed package on a booted Debian: systemd-nspawn boots a root file system with it, test/service/boot/check runs
// there as a oneshot unit and draws its topology, and what it found is told here, one test for each step.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const BOOT_SECONDS = 180;

const STEPS = [
  ...readFileSync(join(ROOT, 'test/service/boot/check'), 'utf8').matchAll(/^step '([^']+)'/gm),
].map(([, name = '']) => name);

const folder = mkdtempSync('/var/tmp/headgate-boot-');
const machine = join(folder, 'root');
const results = join(folder, 'results');

/** The last line that a script of ours prints: the path of what it made. It compiles nothing: the sandbox is no place for it. */
const made = (script: string): string =>
  execFileSync(join(ROOT, script), {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, HEADGATE_SETUP_DONE: '1' },
  })
    .trim()
    .split('\n')
    .at(-1) ?? '';

function install(): void {
  mkdirSync(machine);
  mkdirSync(results);
  execFileSync('tar', ['-C', machine, '-xf', made('scripts/rootfs')]);
  cpSync(resolve(ROOT, made('scripts/package')), join(machine, 'headgate.deb'));
  execFileSync('chroot', [machine, 'dpkg', '--install', '/headgate.deb'], { encoding: 'utf8' });
  makeUpgrade();
  writeFileSync(
    join(machine, 'etc/headgate/headgate.yaml'),
    `apiVersion: headgate/v1
kind: Host
metadata: { name: booted }
spec:
  default: drop
  attach: { namespaces: [alice, bob], interfaces: [hg-carol] }
  flowLog:
    jsonLines: /var/log/headgate/flows.jsonl
    ipfix: { collector: "127.0.0.1:4739" }
    activeTimeout: 1
`,
  );
  const from = join(ROOT, 'test/service/boot');
  cpSync(join(from, 'documents.yaml'), join(machine, 'etc/headgate/conf.d/documents.yaml'));
  cpSync(join(from, 'check'), join(machine, 'check'));
  cpSync(join(from, 'check.service'), join(machine, 'etc/systemd/system/check.service'));
  // A watchdog that a test can wait for.
  mkdirSync(join(machine, 'etc/systemd/system/headgate-engine.service.d'));
  writeFileSync(
    join(machine, 'etc/systemd/system/headgate-engine.service.d/quick.conf'),
    '[Service]\nWatchdogSec=5s\n',
  );
  execFileSync('chroot', [machine, 'systemctl', 'enable', 'check.service'], { stdio: 'pipe' });
}

/** The same package with a higher version. */
function makeUpgrade(): void {
  const tree = join(folder, 'upgrade');
  execFileSync('dpkg-deb', ['--raw-extract', join(machine, 'headgate.deb'), tree]);
  const control = join(tree, 'DEBIAN/control');
  writeFileSync(control, readFileSync(control, 'utf8').replace(/^Version: .*$/m, '$&+upgrade'));
  execFileSync('dpkg-deb', ['-Znone', '--build', tree, join(machine, 'upgrade.deb')]);
}

function boot(): string {
  const options = ['--boot', '--private-network', '--register=no', '--keep-unit', '--quiet'];
  const binds = ['--bind=/dev/net/tun', `--bind=${results}:/results`];
  const { stdout, stderr } = spawnSync('systemd-nspawn', ['-D', machine, ...options, ...binds], {
    encoding: 'utf8',
    timeout: BOOT_SECONDS * 1000,
    killSignal: 'SIGKILL',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return `${stdout}${stderr}`;
}

let steps: string[] = [];
let said = '';

beforeAll(
  () => {
    install();
    said = boot();
    const path = join(results, 'steps');
    steps = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : [];
  },
  (BOOT_SECONDS + 120) * 1000,
);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('the machine boots, runs all steps and goes down', () => {
  expect(steps, said).toContain('done');
  expect(STEPS.length).toBeGreaterThan(5);
});

test.each(STEPS)('%s', (name) => {
  const log = join(results, 'journal');
  const found = steps.find((line) => line === `ok ${name}` || line.startsWith(`failed ${name}:`));
  expect(found, existsSync(log) ? readFileSync(log, 'utf8').split('\n').slice(-60).join('\n') : said).toBe(
    `ok ${name}`,
  );
});
