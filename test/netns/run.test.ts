// `headgate run`: the privileges of its two processes, an engine that dies, devices that come and go with their
// workloads, and starts that cannot succeed.
//
//     a (10.77.0.1) ---TAP--- engine ---TAP--- b (10.77.0.2, UDP 53)
//                               |
//                run ------- control
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PROGRAM } from '../../src/lab/headgate.js';
import { ip, waitUntil } from '../../src/lab/namespaces.js';
import { ALLOW_ALL, Bed } from './bed.js';

let bed: Bed;

beforeAll(async () => {
  bed = await Bed.start({ workloads: ['a', 'b'], rules: ALLOW_ALL });
  await bed.agent('b').listen({ udp: [53] });
}, 60_000);
afterAll(() => bed?.stop());

const CAP_NET_ADMIN = 1n << 12n;
const CAP_NET_RAW = 1n << 13n;
const CAP_SYS_ADMIN = 1n << 21n;

/** A field of /proc/PID/status. */
function field(pid: number, name: string): string {
  const line = readFileSync(`/proc/${pid}/status`, 'utf8')
    .split('\n')
    .find((one) => one.startsWith(`${name}:`));
  return (line ?? '').slice(name.length + 1).trim();
}

const capabilities = (pid: number, set: string): bigint => BigInt(`0x${field(pid, set)}`);

async function pids(): Promise<{ engine: number; control: number }> {
  const { pid, engine } = await waitUntil('both run', async () => {
    const status = await bed.status().catch(() => undefined);
    return status?.ready === true && status;
  });
  return { control: pid, engine: engine?.pid ?? 0 };
}

describe('privileges', () => {
  test('the engine has three capabilities and cannot gain others', async () => {
    const { engine } = await pids();
    for (const set of ['CapPrm', 'CapEff', 'CapBnd']) {
      expect(capabilities(engine, set), set).toBe(CAP_NET_ADMIN | CAP_NET_RAW | CAP_SYS_ADMIN);
    }
    expect(capabilities(engine, 'CapInh') | capabilities(engine, 'CapAmb')).toBe(0n);
    expect(field(engine, 'NoNewPrivs')).toBe('1');
  });

  test('control is an ordinary user without any', async () => {
    const { control } = await pids();
    expect(field(control, 'Uid').split(/\s+/)).not.toContain('0');
    expect(field(control, 'Gid').split(/\s+/)).not.toContain('0');
    expect(field(control, 'Groups')).toBe('');
    for (const set of ['CapPrm', 'CapEff', 'CapBnd', 'CapInh', 'CapAmb'])
      expect(capabilities(control, set), set).toBe(0n);
    expect(field(control, 'NoNewPrivs')).toBe('1');
  });

  test('control cannot replace the socket of the engine, and others cannot open either', () => {
    const { runDir } = bed.folders;
    const folder = statSync(runDir);
    expect(folder.uid).toBe(0);
    expect(folder.mode & 0o7777).toBe(0o1770);
    for (const socket of ['engine.sock', 'headgate.sock'])
      expect(statSync(join(runDir, socket)).mode & 0o777).toBe(0o660);
    expect(statSync(join(runDir, 'engine.sock')).uid).toBe(0);
  });
});

describe('children that die', () => {
  test('the engine is started again and holds the policy again', async () => {
    const before = await pids();
    process.kill(before.engine, 'SIGKILL');
    const after = await waitUntil('another engine', async () => {
      const now = await pids();
      return now.engine !== before.engine && now;
    });
    expect(after.control).toBe(before.control);
    await bed.attached();
    expect(await bed.agent('a').udp(bed.ipv4('b'), 53)).toMatchObject({ outcome: 'reached' });
  });
});

describe('devices', () => {
  const devices = (workload: string) => ip('-n', bed.netns(workload), '-oneline', 'link', 'show');

  test('go with their workload and come back with it', async () => {
    expect(devices('b')).toContain('eth0');
    await bed.control.delete('/v1/documents/Workload/b');
    await waitUntil('the device is gone', () => !devices('b').includes('eth0'));
    await bed.control.post('/v1/rollback', {});
    await bed.attached();
    expect(await bed.agent('a').udp(bed.ipv4('b'), 53)).toMatchObject({ outcome: 'reached' });
  });
});

describe('a start that cannot succeed', () => {
  const start = (config: string, env: NodeJS.ProcessEnv = {}) =>
    spawnSync(
      PROGRAM,
      [
        'run',
        '--config',
        config,
        '--run-dir',
        join(bed.directory, 'r2'),
        '--state-dir',
        join(bed.directory, 's2'),
      ],
      {
        encoding: 'utf8',
        timeout: 60_000,
        env: { ...process.env, ...env },
      },
    );

  test('without a host file: exit 1, and what to create', () => {
    const ended = start(join(bed.directory, 'none.yaml'));
    expect(ended.status).toBe(1);
    expect(ended.stderr).toContain('kind: Host');
  });

  test('as another user than root: exit 1', () => {
    const ended = spawnSync(
      'setpriv',
      ['--reuid', '65534', '--regid', '65534', '--clear-groups', PROGRAM, 'run', '--config', bed.config],
      { encoding: 'utf8' },
    );
    expect(ended.status).toBe(1);
    expect(ended.stderr).toContain('has to be started by root');
  });

  test('without its packet path: exit 1, and no child stays', () => {
    const ended = start(bed.config, { HEADGATE_ADDON: '/nonexistent.node' });
    expect(ended.status).toBe(1);
    expect(ended.stderr).toContain('scripts/setup');
    expect(processesOf(join(bed.directory, 'r2'))).toEqual([]);
  });
});

test('no child outlives a run that is killed', async () => {
  const folders = ['--run-dir', join(bed.directory, 'r3'), '--state-dir', join(bed.directory, 's3')];
  const run = spawn(PROGRAM, ['run', '--config', bed.config, ...folders], { stdio: 'ignore' });
  await waitUntil('it listens', () => existsSync(join(bed.directory, 'r3', 'headgate.sock')));
  expect(processesOf(join(bed.directory, 'r3'))).toHaveLength(3);
  run.kill('SIGKILL');
  await waitUntil('all have ended', () => processesOf(join(bed.directory, 'r3')).length === 0);
});

/** Processes that were given the text as an argument. */
function processesOf(argument: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(argument);
    } catch {
      return false;
    }
  });
}
