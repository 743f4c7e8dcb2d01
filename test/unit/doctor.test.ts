// `headgate doctor`: each finding is caused once, in a folder that stands for the machine, beside the state in which
// the same check finds nothing.
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DocumentResult, RuleResult, StatsResult, StatusResult } from '../../src/control/api.js';
import { CHECKS, examine } from '../../src/cli/doctor/checks.js';
import { checkClock, checkClockSource } from '../../src/cli/doctor/clock.js';
import { checkKernel, checkProcessor } from '../../src/cli/doctor/kernel.js';
import { checkPools, checkSockets, checkTaps } from '../../src/cli/doctor/leftovers.js';
import { checkConnections, checkOpenFiles, checkPoolSpace, checkSlots } from '../../src/cli/doctor/limits.js';
import { machineAt, type Machine } from '../../src/cli/doctor/machine.js';
import { checkMtu, checkOffloads } from '../../src/cli/doctor/network.js';
import { checkAddon, checkNode } from '../../src/cli/doctor/program.js';
import type { Result } from '../../src/cli/doctor/result.js';
import {
  checkPrivileges,
  checkRunning,
  checkState,
  checkVersions,
  checkWorkloads,
} from '../../src/cli/doctor/running.js';
import { subjectOf, type Subject } from '../../src/cli/doctor/subject.js';
import { BASE, source, Stack } from '../support/stack.js';

let root = '';
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'hg-doctor-'))));
afterEach(() => rmSync(root, { recursive: true, force: true }));

function put(path: string, text = ''): void {
  mkdirSync(dirname(root + path), { recursive: true });
  writeFileSync(root + path, text);
}

const nothingRuns: Machine['run'] = () => undefined;
const machine = (run: Machine['run'] = nothingRuns) => machineAt(root, run);

const ENGINE: NonNullable<StatusResult['engine']> = {
  protocol: 5,
  version: '1.0.0',
  pid: 10,
  generation: 5,
  uptime: 9,
  start: { left: 'nothing', connections: 0, forgotten: 0, alarms: [] },
};
const STATUS: StatusResult = {
  version: '1.0.0',
  pid: 20,
  revision: 3,
  documents: 4,
  ready: true,
  engine: ENGINE,
};
const subject = (more: Partial<Subject> = {}): Subject => ({
  machine: machine(),
  runDir: root,
  now: Date.parse('2026-01-01T00:00:00Z'),
  status: STATUS,
  ...more,
});

const states = (results: readonly Result[]) => results.map(({ state }) => state);
/** One finding that says this, and how to mend it. */
function toMend(results: readonly Result[], text: RegExp): void {
  const found = results.filter(({ state }) => state === 'mend');
  expect(found.map(({ what }) => what)).toEqual([expect.stringMatching(text)]);
  expect(found[0]?.remedy).toMatch(/\S/);
}

const workload = (name: string, attach: object, segment = 'lan'): DocumentResult => ({
  apiVersion: 'headgate/v1',
  kind: 'Workload',
  metadata: { name },
  spec: { segment, attach },
  status: { state: 'attached' },
  origin: { file: 'x', line: 1 },
});

describe('kernel and program', () => {
  const FILES = ['/dev/net/tun', '/proc/net/packet', '/proc/self/ns/net', '/dev/shm/x'];

  it.each([
    ['/dev/net/tun', /TAP devices/],
    ['/proc/net/packet', /packet sockets/],
    ['/proc/self/ns/net', /network namespaces/],
    ['/dev/shm', /shared memory/],
  ])('without %s', (path, text) => {
    for (const file of FILES) put(file);
    put('/proc/sys/kernel/osrelease', '6.1.0-test\n');
    expect(checkKernel(subject())).toEqual([
      expect.objectContaining({ state: 'ok', what: expect.stringContaining('Linux 6.2') as string }),
    ]);
    rmSync(root + path, { recursive: true });
    toMend(checkKernel(subject()), text);
  });

  it('a processor without SSE 4.2', () => {
    put('/proc/cpuinfo', 'flags\t\t: fpu popcnt sse4_2 avx\n');
    expect(states(checkProcessor(subject(), 'x64'))).toEqual(['ok']);
    put('/proc/cpuinfo', 'flags\t\t: fpu popcnt\n');
    toMend(checkProcessor(subject(), 'x64'), /sse4_2/);
    expect(states(checkProcessor(subject(), 'arm64'))).toEqual(['ok']);
  });

  it('an old Node.js', () => {
    expect(states(checkNode('20.0.0'))).toEqual(['ok']);
    toMend(checkNode('18.20.0'), /18\.20\.0/);
  });

  it('an addon that cannot be loaded', () => {
    expect(states(checkAddon(() => undefined))).toEqual(['ok']);
    const broken = () => {
      throw new Error('wrong libc');
    };
    toMend(checkAddon(broken), /wrong libc/);
  });
});

describe('the processes', () => {
  it('control that does not answer, an engine that is not there, a policy not in force', async () => {
    toMend(checkRunning(await subjectOf(machine(), '/nonexistent')), /control does not run/);
    const { engine: _, ...alone } = STATUS;
    toMend(checkRunning(subject({ status: { ...alone, ready: false, fault: 'it is away' } })), /it is away/);
    toMend(checkRunning(subject({ status: { ...STATUS, ready: false, fault: 'it refused' } })), /it refused/);
    expect(states(checkRunning(subject()))).toEqual(['ok']);
  });

  it('state of an engine before that was thrown away', () => {
    const began = (start: Partial<typeof ENGINE.start>) =>
      checkState(
        subject({ status: { ...STATUS, engine: { ...ENGINE, start: { ...ENGINE.start, ...start } } } }),
      );
    expect(states(began({}))).toEqual(['ok']);
    expect(began({ left: 'in-disorder', connections: 7, forgotten: 2 })[0]?.what).toMatch(
      /7 connections.*2 were/,
    );
    toMend(began({ alarms: ['Its layout 3 is unknown here.'] }), /layout 3/);
  });

  it('versions that differ', () => {
    expect(states(checkVersions(subject(), '1.0.0'))).toEqual(['ok']);
    toMend(
      checkVersions(subject({ status: { ...STATUS, version: '0.9.0' } }), '1.0.0'),
      /control runs 0\.9\.0/,
    );
  });

  const processes = (engine: string, control: string, uid = '999') => {
    put('/proc/10/status', `CapEff:\t${engine}\n`);
    put('/proc/20/status', `Uid:\t${uid}\t${uid}\t${uid}\t${uid}\nCapEff:\t${control}\n`);
    return checkPrivileges(subject());
  };

  it('capabilities that are missing or too many', () => {
    expect(states(checkPrivileges(subject()))).toEqual(['unknown']);
    expect(states(processes('0000000000203000', '0'))).toEqual(['ok']);
    toMend(processes('0000000000201000', '0'), /lacks CAP_NET_RAW/);
    toMend(processes('000001ffffffffff', '0'), /more capabilities/);
    toMend(processes('0000000000203000', '1000'), /Control runs/);
    toMend(processes('0000000000203000', '0', '0'), /Control runs/);
  });

  it('workloads that wait', () => {
    const waits = { ...workload('db', {}), status: { state: 'waiting' as const, detail: 'no namespace' } };
    expect(states(checkWorkloads(subject({ workloads: [workload('web', {})] })))).toEqual(['ok']);
    toMend(
      checkWorkloads(subject({ workloads: [waits, workload('web', {})] })),
      /1 of 2.*db \(no namespace\)/,
    );
  });
});

describe('devices', () => {
  const workloads = [
    workload('a', { tap: { netns: 'na', name: 'eth0' } }),
    workload('b', { tap: { netns: 'nb', name: 'eth0' } }),
    workload('c', { veth: { interface: 'v1' } }, 'other'),
  ];
  const links = (mtus: Record<string, number>): Machine['run'] => {
    return (_program, namespace = '') => {
      const path = namespace.slice('--net='.length);
      if (mtus[path] === undefined) return undefined;
      return JSON.stringify(['eth0', 'v1'].map((ifname) => ({ ifname, mtu: mtus[path], flags: [] })));
    };
  };

  it('MTUs that differ within a segment', () => {
    const check = (mtus: Record<string, number>) =>
      checkMtu(subject({ workloads, machine: machine(links(mtus)) }));
    expect(states(check({}))).toEqual(['unknown']);
    expect(states(check({ '/run/netns/na': 1500, '/run/netns/nb': 1500, '/proc/10/ns/net': 9000 }))).toEqual([
      'ok',
    ]);
    toMend(check({ '/run/netns/na': 1500, '/run/netns/nb': 9000 }), /Segment lan .* 1500 \(a\); 9000 \(b\)/);
  });

  it('an interface that merges what it receives', () => {
    const check = (printed: string | undefined) =>
      checkOffloads(subject({ workloads, machine: machine(() => printed) }));
    expect(states(check('large-receive-offload: off [fixed]\n'))).toEqual(['ok']);
    expect(states(check(undefined))).toEqual(['unknown']);
    toMend(check('Features for v1:\nlarge-receive-offload: on\n'), /v1 merges/);
  });
});

describe('leftovers', () => {
  it('pools that nobody holds', () => {
    put('/dev/shm/headgate-run-x-pools/connections', 'x');
    put('/proc/locks', '');
    toMend(checkPools(subject({ runDir: '/run/none' })), /headgate-run-x-pools/);
    const { dev, ino } = statSync(`${root}/dev/shm/headgate-run-x-pools/connections`);
    const hex = (value: number) => value.toString(16).padStart(2, '0');
    const device = `${hex((dev >> 8) & 0xfff)}:${hex((dev & 0xff) | ((dev >> 12) & 0xfff00))}`;
    put('/proc/locks', `1: OFDLCK ADVISORY  WRITE -1 ${device}:${ino} 0 EOF\n`);
    expect(states(checkPools(subject({ runDir: '/run/none' })))).toEqual(['ok']);
  });

  it('a socket on which nobody listens', async () => {
    const path = join(root, 'engine.sock');
    const server = createServer();
    await new Promise<void>((done) => server.listen(path, done));
    const here = subject({ machine: machineAt('') });
    expect(states(await checkSockets(here))).toEqual(['ok']);
    // As after a kill: the file stays when it is moved away before the server closes.
    const stale = mkdtempSync(join(tmpdir(), 'hg-doctor-stale-'));
    const { renameSync } = await import('node:fs');
    renameSync(path, join(stale, 'engine.sock'));
    await new Promise((done) => server.close(done));
    toMend(await checkSockets({ ...here, runDir: stale }), /Nobody listens on .*engine\.sock/);
    rmSync(stale, { recursive: true });
  });

  it('a TAP without an engine', () => {
    put('/run/netns/na');
    const tap = (flags: string[]) =>
      checkTaps(
        subject({
          machine: machine(() =>
            JSON.stringify([
              { ifname: 'lo', mtu: 1, flags: [] },
              {
                ifname: 'eth0',
                mtu: 1500,
                flags,
                linkinfo: { info_kind: 'tun', info_data: { type: 'tap', persist: true, vnet_hdr: true } },
              },
            ]),
          ),
        }),
      );
    expect(states(tap(['UP', 'LOWER_UP']))).toEqual(['ok']);
    toMend(tap(['NO-CARRIER', 'UP']), /eth0 in namespace na/);
    expect(states(checkTaps(subject()))).toEqual(['unknown']);
  });
});

describe('clock', () => {
  const revision = (time: string) => [{ number: 3, time, documents: 1, cause: 'apply' }];

  it('a revision of the future', () => {
    expect(states(checkClock(subject({ revisions: revision('2025-12-31T23:59:00Z') as never })))).toEqual([
      'ok',
    ]);
    toMend(checkClock(subject({ revisions: revision('2026-01-02T00:00:00Z') as never })), /Revision 3/);
  });

  it('that nothing synchronizes', () => {
    expect(states(checkClock(subject({ machine: machine(() => 'yes\n') })))).toEqual(['ok']);
    toMend(checkClock(subject({ machine: machine(() => 'no\n') })), /not synchronized/);
  });

  it('that is slow to read', () => {
    const path = '/sys/devices/system/clocksource/clocksource0/current_clocksource';
    put(path, 'tsc\n');
    expect(states(checkClockSource(subject()))).toEqual(['ok']);
    put(path, 'hpet\n');
    toMend(checkClockSource(subject()), /hpet/);
  });
});

describe('limits', () => {
  it('connections', () => {
    const stats = (connections: number) => ({ connections, connectionsLimit: 100 }) as StatsResult;
    expect(states(checkConnections(subject({ stats: stats(79) })))).toEqual(['ok']);
    toMend(checkConnections(subject({ stats: stats(80) })), /80 of 100/);
  });

  it('slots of rules; a rule that stands nowhere takes none', () => {
    const rules = (count: number, workloads: number) =>
      Array.from({ length: count }, () => ({ workloads }) as RuleResult);
    const check = (list: RuleResult[]) => checkSlots(subject({ rules: list, host: { rules: 10 } }));
    expect(states(check(rules(9, 0)))).toEqual(['ok']);
    toMend(check(rules(9, 1)), /At least 9 of 10/);
  });

  it('open files', () => {
    expect(states(checkOpenFiles(subject()))).toEqual(['unknown']);
    for (let i = 0; i < 9; i++) put(`/proc/10/fd/${i}`);
    put('/proc/10/limits', 'Max open files            1024                 524288               files\n');
    expect(states(checkOpenFiles(subject()))).toEqual(['ok']);
    put('/proc/10/limits', 'Max open files            10                   524288               files\n');
    toMend(checkOpenFiles(subject()), /9 of 10/);
  });

  it('memory for pools', () => {
    const filled = (share: number) => ({ ...machine(), filled: () => ({ share, size: 2 ** 26 }) });
    expect(states(checkPoolSpace(subject({ machine: filled(0.1) })))).toEqual(['ok']);
    toMend(checkPoolSpace(subject({ machine: filled(0.95) })), /95 % full \(64 MiB\)/);
  });
});

describe('all of them', () => {
  it('say something, with a running Headgate too', async () => {
    const stack = new Stack();
    try {
      const control = await stack.start();
      await control.apply(source(BASE), false);
      const seen = await subjectOf(machine(), stack.directory);
      expect(seen).toMatchObject({
        status: { ready: true },
        rules: [{ id: 'shop/web-to-db' }],
        host: { default: 'drop' },
      });
      expect(seen.workloads).toHaveLength(2);
      expect(seen.stats?.connectionsLimit).toBeGreaterThan(0);
      const results = await examine(seen);
      expect(results.length).toBeGreaterThanOrEqual(CHECKS.length);
      for (const { state, remedy, what } of results)
        expect(remedy === undefined, what).toBe(state !== 'mend');
    } finally {
      await stack.end();
    }
  });
});
