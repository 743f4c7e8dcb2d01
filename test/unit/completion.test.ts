// Completion: what a shell is told for a line, and that the shells understand the scripts. Runs the compiled program
// (npm run build:ts) against control with a faked engine.
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { candidates } from '../../src/cli/completion/candidates.js';
import { SHELLS, type Shell } from '../../src/cli/completion/scripts.js';
import { buildProgram } from '../../src/cli/program.js';
import { controlSocket } from '../../src/shared/paths.js';
import { BASE, source, Stack } from '../support/stack.js';

const BIN = resolve(import.meta.dirname, '../../bin');

let stack: Stack;

beforeAll(async () => {
  stack = new Stack();
  await stack.start();
  await stack.client.post('/v1/apply', { sources: source(BASE), prune: false });
});

afterAll(() => stack.end());

/** Completes the last word of a line; `DIR` in it stands for the run directory. */
async function complete(line: string): Promise<string[] | 'files'> {
  const words = line.split(' ').map((word) => word.replace('DIR', stack.directory));
  const found = await candidates(buildProgram(), words);
  return found === 'files' ? found : found.map(({ word }) => word);
}

describe('candidates', () => {
  test.each([
    ['commands', 'ap', ['apply']],
    ['no hidden ones', '__', []],
    ['commands of a command', 'lab ', ['up', 'check', 'down']],
    ['options', 'apply --p', ['--prune']],
    ['help', 'apply --he', ['--help']],
    ['what an option takes', 'get workloads -o ', ['table', 'wide', 'json', 'yaml']],
    ['files of an option', 'apply -f ', 'files'],
    ['its second file', 'apply -f a b', 'files'],
    ['an option behind files', 'apply -f a --pr', ['--prune']],
    [
      'kinds',
      'get se',
      [
        'segment',
        'service',
        'securitypolicy',
        'serviceportal',
        'servicetag',
        'serviceinsertion',
        'servicechain',
      ],
    ],
    ['what an argument takes', 'completion ', ['bash', 'zsh', 'fish']],
    ['documents', 'get --run-dir DIR workload ', ['db', 'web']],
    ['documents of which the plural was written', 'get --run-dir=DIR workloads d', ['db']],
    ['rules', 'get --run-dir DIR rules s', ['shop', 'shop/web-to-db']],
    ['revisions', 'rollback --run-dir DIR ', ['1']],
    ['workloads of an option', 'explain --run-dir DIR --from w', ['web']],
    ['workloads of a trace', 'trace --live --run-dir DIR --workload w', ['web']],
    ['rules of a trace', 'trace --live --run-dir DIR --rule ', ['shop/web-to-db', 'default']],
    ['files to capture to', 'capture -w ', 'files'],
    ['nothing for a number', 'explain --port ', []],
    ['nothing of a kind that there is not', 'get --run-dir DIR grups ', []],
    ['nothing without a control', 'get --run-dir /nowhere workload ', []],
  ])('%s', async (_name, line, wanted) => expect(await complete(line)).toEqual(wanted));

  test('a control that hangs is not waited for', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hg-hang-'));
    const server = createServer().listen(controlSocket(folder));
    try {
      const env = { ...process.env, HEADGATE_RUN_DIR: folder };
      const asked = ['__complete', '--', 'get', 'workload', ''];
      const { stdout } = await promisify(execFile)(join(BIN, 'headgate'), asked, { env, timeout: 15_000 });
      expect(stdout).toBe('');
    } finally {
      server.close();
      rmSync(folder, { recursive: true });
    }
  });
});

/** A program for each shell that prints what it makes of `headgate get workload d` or `headgate apply -f ru`. */
const DRIVERS: Record<Shell, (words: string[]) => string> = {
  bash: (words) => `
    source <(headgate completion bash)
    complete -p headgate >&2
    COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}) COMP_CWORD=${words.length - 1}
    _headgate
    printf '%s\\n' "\${COMPREPLY[@]}"`,
  zsh: (words) => `
    compdef() { : }
    _describe() { print -l -- "\${(@P)2}" }
    _files() { print -l -- \${words[-1]}* }
    headgate completion zsh > script && source ./script
    words=(${words.map((word) => `'${word}'`).join(' ')}) CURRENT=${words.length}
    _headgate`,
  fish: (words) => `
    headgate completion fish | source
    complete -C '${words.join(' ')}'`,
};

describe.each(SHELLS)('in %s', (shell) => {
  const there = spawnSync(shell, ['-c', 'true']).status === 0;
  if (!there) {
    test('it is not installed here: its script is only printed', async () => {
      console.log(`${shell} is not installed: what it makes of its completion script was not tried`);
      const { stdout } = await promisify(execFile)(join(BIN, 'headgate'), ['completion', shell]);
      expect(stdout).toContain('__complete');
    });
    return;
  }

  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'hg-completion-'));
    writeFileSync(join(folder, 'rules-of-shop.yaml'), '');
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  async function run(...words: string[]): Promise<string[]> {
    const env = {
      ...process.env,
      HOME: folder,
      PATH: `${BIN}:${process.env['PATH'] ?? ''}`,
      HEADGATE_RUN_DIR: stack.directory,
    };
    const script = DRIVERS[shell](['headgate', ...words]);
    const { stdout } = await promisify(execFile)(shell, ['-c', script], { env, cwd: folder });
    return stdout.split('\n').filter((line) => line !== '');
  }

  test('a name that control knows', async () => expect(await run('get', 'workload', 'd')).toEqual(['db']));

  test('a command, without what it is about or with it', async () => {
    const [line, ...more] = await run('app');
    expect(line).toMatch(/^apply([:\t]put documents.*)?$/);
    expect(more).toEqual([]);
  });

  test('a file', async () => expect(await run('apply', '-f', 'ru')).toEqual(['rules-of-shop.yaml']));

  test('a word that nothing begins with', async () => expect(await run('get', 'zzz')).toEqual([]));
});
