// The command line as a program: exit codes, what goes to stdout and what to stderr. Runs the compiled one
// (npm run build:ts) against control with a faked engine.
import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { BASE, changed, HOST, Stack } from '../support/stack.js';

const PROGRAM = resolve(import.meta.dirname, '../../bin/headgate');

let stack: Stack;
let folder: string;

beforeAll(async () => {
  stack = new Stack();
  await stack.start();
  folder = join(stack.directory, 'documents');
  mkdirSync(folder);
  writeFileSync(join(folder, 'base.yaml'), BASE);
});

afterAll(() => stack.end());

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

function headgate(
  args: string[],
  options: { stdin?: string; runDir?: string; env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Promise<Outcome> {
  const env = { ...process.env, HEADGATE_RUN_DIR: options.runDir ?? stack.directory, ...options.env };
  return new Promise((done) => {
    const child = execFile(PROGRAM, args, { env, cwd: options.cwd ?? folder }, (error, stdout, stderr) => {
      done({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
    child.stdin?.end(options.stdin ?? '');
  });
}

describe('usage', () => {
  it.each([
    [['--help'], 0],
    [['--version'], 0],
    [['apply', '--help'], 0],
    [[], 2],
    [['nonsense'], 2],
    [['apply'], 2],
    [['apply', '--nonsense'], 2],
    [['get'], 2],
    [['get', 'grups'], 2],
    [['get', 'workloads', '-o', 'xml'], 2],
    [['explain', '--from', 'web'], 2],
    [['explain', '--from', 'web', '--to', 'db', '--protocol', 'tpc'], 2],
    [['explain', '--from', 'web', '--to', 'db', '--port', '70000'], 2],
    [['flows', '--limit', '0'], 2],
    [['top', '--interval', '0'], 2],
    [['top', '-n', '0'], 2],
    [['rollback', 'x'], 2],
    [['delete', 'rules', 'x'], 2],
    [['diff', '--nonsense'], 2],
  ])('headgate %j ends with %d', async (args, code) => {
    const outcome = await headgate(args);
    expect(outcome.code).toBe(code);
    if (code !== 0) {
      expect(outcome.stdout).toBe('');
      expect(outcome.stderr).toMatch(/\S/);
    }
  });

  it('every command has examples in its help', async () => {
    const { stdout } = await headgate(['--help']);
    const commands = [...stdout.matchAll(/^ {2}([a-z]+) /gm)]
      .map(([, name]) => name as string)
      .filter((name) => !['help', 'lab'].includes(name));
    expect(commands).toEqual(
      expect.arrayContaining([
        'run',
        'engine',
        'control',
        'plan',
        'apply',
        'diff',
        'rollback',
        'delete',
        'get',
        'explain',
        'flows',
        'stats',
        'version',
        'doctor',
        'top',
        'events',
        'promote',
      ]),
    );
    for (const command of commands) {
      const help = (await headgate([command, '--help'])).stdout;
      expect(help, command).toContain('Examples:');
      for (const line of help.split('\n')) expect(line.length, line).toBeLessThanOrEqual(120);
    }
  });
});

describe('failures', () => {
  it('without control: exit 1 and how to start it; diff 2', async () => {
    for (const [args, code] of [
      [['get', 'workloads'], 1],
      [['diff', '-f', folder], 2],
    ] as const) {
      const outcome = await headgate([...args], { runDir: '/nonexistent' });
      expect(outcome.code).toBe(code);
      expect(outcome.stdout).toBe('');
      expect(outcome.stderr).toContain('headgate run');
    }
  });

  it('errors in documents name file and line, relative to where one is', async () => {
    const outcome = await headgate(['apply', '-f', '-'], { stdin: changed('alow') });
    expect(outcome).toMatchObject({ code: 1, stdout: '' });
    expect(outcome.stderr).toMatch(/\(stdin\):\d+:\d+: .*allow/);
    writeFileSync(join(stack.directory, 'bad.yaml'), changed('alow'));
    expect((await headgate(['plan', '-f', 'bad.yaml'], { cwd: stack.directory })).stderr).toMatch(
      /^ {2}bad\.yaml:\d+:\d+: /m,
    );
  });

  it('a missing file', async () => {
    const outcome = await headgate(['apply', '-f', 'nothing.yaml']);
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toContain('nothing.yaml');
  });
});

describe('the host file', () => {
  const run = (config: string) =>
    headgate(['engine', '--config', config, '--run-dir', join(stack.directory, 'other')]);

  it('that is missing: says what to create, with an example that can be used', async () => {
    const outcome = await run(join(stack.directory, 'none.yaml'));
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toContain('does not exist');
    const example = outcome.stderr.slice(
      outcome.stderr.indexOf('apiVersion'),
      outcome.stderr.indexOf('or name another'),
    );
    const [document] = parseAllDocuments(example);
    expect(document?.toJSON()).toMatchObject({
      apiVersion: 'headgate/v1',
      kind: 'Host',
      spec: { default: 'allow' },
    });
  });

  it('that others may write is refused', async () => {
    const path = join(stack.directory, 'loose.yaml');
    writeFileSync(path, HOST);
    chmodSync(path, 0o664);
    const outcome = await run(path);
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toContain('can be written by others than root');
    expect(outcome.stderr).toContain('chmod go-w');
  });

  it('in a folder that others may write is refused', async () => {
    const loose = join(stack.directory, 'loose');
    mkdirSync(loose);
    writeFileSync(join(loose, 'host.yaml'), HOST, { mode: 0o644 });
    chmodSync(loose, 0o777);
    expect((await run(join(loose, 'host.yaml'))).stderr).toContain('can be written by others than root');
  });

  it('with errors names file and line', async () => {
    const path = join(stack.directory, 'wrong.yaml');
    writeFileSync(path, HOST.replace('default: drop', 'default: dorp'), { mode: 0o644 });
    expect(await run(path)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/wrong\.yaml:\d+:\d+: .*drop/) as string,
    });
  });

  it('with other documents beside it is refused', async () => {
    const path = join(stack.directory, 'more.yaml');
    writeFileSync(path, `${HOST}---${BASE}`, { mode: 0o644 });
    expect(await run(path)).toMatchObject({ code: 1, stderr: expect.stringContaining('conf.d') as string });
  });

  it('an addon that cannot be loaded: the engine does not start and says how to build it', async () => {
    const outcome = await headgate(
      ['engine', '--config', stack.config, '--run-dir', join(stack.directory, 'other')],
      { env: { HEADGATE_ADDON: '/nonexistent.node' } },
    );
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toContain('scripts/setup');
  });
});

describe('a working day', () => {
  it('plan, apply, diff, get, explain, rollback, delete', async () => {
    const planned = await headgate(['plan', '-f', '.']);
    expect(planned.code).toBe(0);
    expect(planned.stdout).toMatch(/^\+ SecurityPolicy\/shop +base\.yaml:\d+$/m);
    expect(planned.stdout).toContain('Documents: 4 to add, 0 to change, 0 to remove');
    expect((await headgate(['diff', '-f', '.'])).code).toBe(1);

    const applied = await headgate(['apply', '-f', '.']);
    expect(applied).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('revision 1 is in force') as string,
    });
    expect(await headgate(['diff', '-f', '.'])).toEqual({ code: 0, stdout: '', stderr: '' });

    const differs = await headgate(['diff', '-f', '-'], { stdin: changed('drop') });
    expect(differs.code).toBe(1);
    expect(differs.stdout).toMatch(/action: "allow" -> "drop"/);

    const workloads = await headgate(['get', 'workloads']);
    expect(workloads.stdout).toMatch(/^NAME +SEGMENT +ATTACH +ADDRESSES +STATE/);
    expect(workloads.stdout).toMatch(/^db +lan +tap hg-db\/eth0 +10\.0\.0\.2\/24 +attached$/m);
    for (const line of workloads.stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(120);

    expect((await headgate(['get', 'rules'])).stdout).toMatch(
      /^shop\/web-to-db +shop #1 +application +both +allow +0 /m,
    );
    const yaml = (await headgate(['get', 'policy', 'shop', '-o', 'yaml'])).stdout;
    expect((await headgate(['diff', '-f', '-'], { stdin: yaml })).code).toBe(0);
    expect(JSON.parse((await headgate(['get', 'workload', 'web', '-o', 'json'])).stdout)).toMatchObject({
      metadata: { name: 'web' },
      status: { state: 'attached' },
    });

    const explained = await headgate([
      'explain',
      '--from',
      'web',
      '--to',
      'db',
      '--protocol',
      'tcp',
      '--port',
      '5432',
    ]);
    expect(explained.stdout).toMatch(/^allow: 10\.0\.0\.1 -> 10\.0\.0\.2 port 5432$/m);
    expect(explained.stdout).toMatch(/^web +out +allow +shop\/web-to-db +base\.yaml:\d+$/m);
    const missed = await headgate(['explain', '--from', 'web', '--to', 'db', '--port', '22']);
    expect(missed.stdout).toMatch(/^web +out +drop +default +.*headgate\.yaml:\d+ /m);
    expect(missed.stdout).toMatch(/nearest miss shop\/web-to-db \(base\.yaml:\d+\)/);
    const offline = await headgate(
      ['explain', '-f', stack.config, '-f', '.', '--from', 'web', '--to', 'db', '--port', '22'],
      { runDir: '/nonexistent' },
    );
    expect(offline.stdout).toBe(missed.stdout);

    expect((await headgate(['apply', '-f', '-'], { stdin: changed('drop') })).stderr).toContain('revision 2');
    expect((await headgate(['get', 'revisions'])).stdout.split('\n')).toHaveLength(4);
    expect((await headgate(['rollback'])).stderr).toContain('revision 3');
    const removed = await headgate(['delete', 'securitypolicy', 'shop']);
    expect(removed.stdout).toMatch(/^- SecurityPolicy\/shop/);
    expect((await headgate(['delete', 'securitypolicy', 'shop'])).code).toBe(1);
  });

  it('stats and flows', async () => {
    const stats = await headgate(['stats']);
    expect(stats.stdout).toMatch(/^ +3 +in +policy-drop +a rule drops it$/m);
    expect(stats.stdout).not.toContain('spoofed-mac');
    expect((await headgate(['stats', '-o', 'wide'])).stdout).toContain('spoofed-mac');
    expect((await headgate(['flows'])).stdout).toMatch(/^PROTO +SOURCE/);
    expect(JSON.parse((await headgate(['flows', '-o', 'json'])).stdout)).toEqual({ flows: [], total: 0 });
  });

  it('prints no colour where nobody sees it', async () => {
    expect((await headgate(['plan', '-f', '.'])).stdout).not.toContain('\u001b');
  });
});
