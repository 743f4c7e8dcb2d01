import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { mayComeForward, NICER } from '../../src/engine/priority.js';

test('where it may say so, what it starts may take it back', () => {
  const [command = '', ...argv] = [...mayComeForward(), 'cat', '/proc/self/limits'];
  const { status, stdout } = spawnSync(command, argv, { encoding: 'utf8' });
  expect(status).toBe(0);
  if (command === 'prlimit') expect(stdout).toMatch(/^Max nice priority +20 +20/m);
});

test('a process that was made nicer comes forward again with all its threads', () => {
  const module = JSON.stringify(new URL('../../dist/engine/priority.js', import.meta.url).pathname);
  const script = `
    import { readdirSync } from 'node:fs';
    import { getPriority } from 'node:os';
    import { comeForward } from ${module};
    const all = () => [...new Set(readdirSync('/proc/self/task').map((thread) => getPriority(Number(thread))))];
    console.log(JSON.stringify([all(), (comeForward(), all())]));`;
  const run = spawnSync(
    NICER[0] ?? '',
    [...NICER.slice(1), process.execPath, '--input-type=module', '-e', script],
    { encoding: 'utf8' },
  );
  expect(run.stderr).toBe('');
  expect(JSON.parse(run.stdout)).toEqual([[10], [0]]);
});
