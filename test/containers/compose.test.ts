// The images and the lab of docker-compose.yml on a Docker of its own: examples/compose/check brings the lab up from
// nothing, tries it and takes it down; what it found is told here, one test for each line.
//
// Image registries are not needed: debian:bookworm-slim is the root file system of scripts/rootfs, and the image takes
// the package that scripts/package has built.
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../support/until.js';

const ROOT = resolve(import.meta.dirname, '../..');
const CHECK_SECONDS = 400;
const CHECK = join(ROOT, 'examples/compose/check');
const TRIED = [...readFileSync(CHECK, 'utf8').matchAll(/^try '([^']+)'/gm)].map(([, name = '']) => name);

/** The control group in which the daemon makes its containers'; it leaves it behind. */
const GROUP = `/headgate-test-${process.pid}`;
const folder = mkdtempSync('/var/tmp/headgate-docker-');
const socket = `unix://${join(folder, 'docker.sock')}`;
const daemonLog = join(folder, 'log');
const env = {
  ...process.env,
  // Debian's client beside Debian's daemon; another one in /usr/local may want plug-ins.
  PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
  DOCKER_HOST: socket,
  HEADGATE_SETUP_DONE: '1',
  HEADGATE_PACKAGE: 'ready',
  HEADGATE_BUILD_NETWORK: 'host',
};
let daemon: ChildProcess | undefined;

/** A daemon that leaves the machine's interfaces, routes and firewall alone: no container gets a network from it. */
async function startDocker(): Promise<void> {
  const folders = ['data-root', 'exec-root'].map((name) => `--${name}=${join(folder, name)}`);
  const alone = [
    '--bridge=none',
    '--iptables=false',
    '--ip6tables=false',
    '--ip-forward=false',
    '--ip-masq=false',
  ];
  const args = [
    ...folders,
    `--pidfile=${join(folder, 'pid')}`,
    `--host=${socket}`,
    `--cgroup-parent=${GROUP}`,
    ...alone,
  ];
  const log = openSync(daemonLog, 'w');
  daemon = spawn('dockerd', args, { env, stdio: ['ignore', log, log] });
  await until('dockerd answers', () => {
    if (daemon?.exitCode !== null) throw new Error(readFileSync(daemonLog, 'utf8').slice(-2000));
    return spawnSync('docker', ['version'], { env }).status === 0;
  });
}

const run = (command: string, ...args: string[]) =>
  execFileSync(command, args, {
    env,
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 1e8,
    stdio: ['ignore', 'pipe', 'pipe'],
  });

let lines: string[] = [];
let status: number | null = null;
let said = '';

beforeAll(
  async () => {
    await startDocker();
    run(join(ROOT, 'scripts/package'));
    run('docker', 'import', run(join(ROOT, 'scripts/rootfs')).trim(), 'debian:bookworm-slim');
    const check = spawnSync(CHECK, { env, encoding: 'utf8', timeout: CHECK_SECONDS * 1000, maxBuffer: 1e8 });
    ({ status } = check);
    lines = check.stdout.split('\n');
    said = `${check.stdout}${check.stderr}`.slice(-6000);
  },
  (CHECK_SECONDS + 180) * 1000,
);

afterAll(async () => {
  if (daemon?.exitCode === null) {
    const ended = new Promise((resolve) => daemon?.once('exit', resolve));
    daemon.kill();
    await ended;
  }
  rmSync(folder, { recursive: true, force: true });
  spawnSync('find', [
    '/sys/fs/cgroup',
    '-depth',
    '-type',
    'd',
    '-path',
    `*${GROUP}*`,
    '-exec',
    'rmdir',
    '{}',
    ';',
  ]);
});

test('the check passes and ends with 0', () => {
  expect(status, said).toBe(0);
  expect(TRIED.length).toBeGreaterThan(5);
  expect(lines).toContain(`${TRIED.length} passed, 0 failed`);
});

test.each(TRIED)('%s', (name) => {
  const found = lines.find((line) => line.slice(8).split(/: |$/)[0] === name);
  expect(found?.slice(0, 8)).toBe('ok      ');
});

test('the lab is taken down', () => {
  expect(run('docker', 'ps', '--all', '--quiet')).toBe('');
  expect(run('docker', 'volume', 'ls', '--quiet')).toBe('');
});

test('without options the image runs as a user without privileges', () => {
  const told = run('docker', 'run', '--rm', '--network=none', '--entrypoint=id', 'headgate-lab');
  expect(told).toMatch(/^uid=990\(headgate\) gid=990\(headgate\)/);
});
