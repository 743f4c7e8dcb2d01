import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { getPriority } from 'node:os';
import { expect, test } from 'vitest';
import { bringForward, mayBringForward, NICER } from '../../src/cli/priority.js';

/** The nice values of all threads of a process. */
const niceOf = (pid: number) => [
  ...new Set(readdirSync(`/proc/${pid}/task`).map((thread) => getPriority(Number(thread)))),
];

test('a process that was made nicer is brought forward with all its threads', async () => {
  const [command = '', ...argv] = [...NICER, process.execPath, '-e', 'console.log(); process.stdin.resume()'];
  const child = spawn(command, argv, { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    await once(child.stdout, 'data');
    const pid = child.pid ?? 0;
    expect(readdirSync(`/proc/${pid}/task`).length).toBeGreaterThan(1);
    expect(niceOf(pid)).toEqual([10]);
    expect(mayBringForward()).toBe(true);
    bringForward(pid);
    expect(niceOf(pid)).toEqual([0]);
  } finally {
    child.kill('SIGKILL');
  }
});

test('without the capability nobody is left behind: it is known before', () => {
  const module = JSON.stringify(new URL('../../dist/cli/priority.js', import.meta.url).pathname);
  const script = `import { mayBringForward } from ${module}; console.log(mayBringForward());`;
  const asked = spawnSync(
    'setpriv',
    ['--bounding-set=-sys_nice', process.execPath, '--input-type=module', '-e', script],
    { encoding: 'utf8' },
  );
  expect(asked.stderr).toBe('');
  expect(asked.stdout).toBe('false\n');
});

test('to bring forward a process that has just ended is no fault', () => {
  const { pid } = spawnSync('true');
  bringForward(pid);
});
