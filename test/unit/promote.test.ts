// From observe to enforce: what is promoted, what was observed, and the line that says what is not enforced. Some tests
// run the compiled command (npm run build:ts) against control with a faked engine.
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ObservedResult } from '../../src/control/api.js';
import { promoted } from '../../src/control/promote.js';
import { readDocuments } from '../../src/documents/index.js';
import { BASE, source, Stack } from '../support/stack.js';

const POLICY = (mode: string, first = '', second = '') => `---
apiVersion: headgate/v1
kind: SecurityPolicy
metadata: {name: shop}
spec:
  ${mode}
  rules:
    - {name: one, action: drop${first}}
    - {name: two, action: allow${second}}
`;
const OBSERVED = POLICY('mode: observe');

describe('what is promoted', () => {
  const after = (text: string, name: string) => {
    const { documents, errors } = readDocuments(source(text));
    expect(errors).toEqual([]);
    const { spec } = promoted(documents, name);
    return [spec.mode, ...spec.rules.map(({ mode }) => mode)];
  };

  it.each([
    ['a policy', OBSERVED, 'shop', [undefined, undefined, undefined]],
    ['a policy, its rules too', POLICY('', ', mode: observe'), 'shop', [undefined, undefined, undefined]],
    ['a rule of a policy that observes', OBSERVED, 'shop/one', ['observe', 'enforce', undefined]],
    [
      'a rule that observes by itself',
      POLICY('', ', mode: observe'),
      'shop/one',
      [undefined, undefined, undefined],
    ],
    [
      'a rule that is enforced stays so',
      POLICY('mode: observe', ', mode: enforce'),
      'shop',
      [undefined, 'enforce', undefined],
    ],
  ])('%s', (_, text, name, modes) => expect(after(text, name)).toEqual(modes));

  it.each([
    ['shop', POLICY(''), 'nothing-to-promote'],
    ['shop/two', POLICY('', ', mode: observe'), 'nothing-to-promote'],
    ['shop/three', OBSERVED, 'not-found'],
    ['none', OBSERVED, 'not-found'],
  ])('%s cannot be', (name, text, code) => {
    const { documents } = readDocuments(source(text));
    expect(() => promoted(documents, name)).toThrow(expect.objectContaining({ code }) as Error);
  });
});

let stack: Stack;
beforeEach(async () => {
  stack = new Stack();
  const control = await stack.start();
  await control.apply(source(BASE + OBSERVED.replace('name: shop', 'name: trial')), false);
  const hit = { workload: 'web', direction: 'in' as const, packets: 9, bytes: 900, idle: 1 };
  stack.native.hits = [
    { ...hit, rule: 'trial/one', flows: 3 },
    { ...hit, rule: 'trial/one', workload: 'db', flows: 4 },
    { ...hit, rule: 'trial/two', flows: 2 },
    { ...hit, rule: 'shop/web-to-db', flows: 5 },
    { ...hit, flows: 7 },
  ];
});
afterEach(() => stack.end());

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

function run(program: string, args: string[], input = ''): Promise<Outcome> {
  return new Promise((done) => {
    const child = spawn(program, args, { env: { ...process.env, HEADGATE_RUN_DIR: stack.directory } });
    const outcome = { stdout: '', stderr: '' };
    child.stdout.on('data', (data: Buffer) => (outcome.stdout += data.toString()));
    child.stderr.on('data', (data: Buffer) => (outcome.stderr += data.toString()));
    child.on('close', (code) => done({ code, ...outcome }));
    child.stdin.end(input);
  });
}

const PROGRAM = resolve(import.meta.dirname, '../../bin/headgate');
const headgate = (...args: string[]) => run(PROGRAM, args);
const revision = () => stack.control?.status().revision;

describe('what was observed', () => {
  it('is told by workload, denials alone in the table', async () => {
    const { rules, policies, hits } = await stack.client.get<ObservedResult>('/v1/observed');
    expect([rules, policies]).toEqual([2, ['trial']]);
    expect(hits.map(({ workload, rule, flows }) => `${workload} ${rule} ${flows}`)).toEqual([
      'db trial/one 4',
      'web trial/one 3',
      'web trial/two 2',
    ]);
    const table = await headgate('get', 'observed');
    expect(table.stdout).toMatch(
      /^WORKLOAD .*\ndb +in +drop +trial\/one +4 .*\nweb +in +drop +trial\/one +3 .*\n$/,
    );
    expect(table.stderr).toContain('1 more would be allowed');
    expect((await headgate('get', 'observed', '-o', 'wide')).stdout).toContain('trial/two');
    expect((await headgate('get', 'observed', 'shop')).code).toBe(1);
    expect((await headgate('delete', 'observed', 'x')).code).toBe(2);
  });
});

describe('the line beside tables', () => {
  const LINE = 'not enforced: 2 rules observe only (trial): see headgate get observed\n';

  it.each([[['get', 'workloads']], [['stats']], [['flows']], [['flows', '-n', '1']], [['events']]])(
    'is there for %j while anything observes',
    async (args) => {
      expect((await headgate(...args)).stderr).toBe(LINE);
      expect((await headgate(...args, '-o', 'json')).stderr).toBe('');
      await stack.client.post('/v1/promote', { name: 'trial', revision: 1 });
      expect((await headgate(...args)).stderr).toBe('');
    },
  );

  it('says that the policy is not in force', async () => {
    await stack.stopEngine();
    expect((await headgate('get', 'workloads')).stderr).toMatch(
      /^not enforced: the policy is not in force: /,
    );
  });
});

describe('headgate promote', () => {
  it('without a terminal shows the plan and changes nothing', async () => {
    const outcome = await headgate('promote', 'trial');
    expect(outcome).toMatchObject({ code: 2 });
    expect(outcome.stdout).toMatch(/^~ SecurityPolicy\/trial .*\n {4}- spec\.mode: "observe"$/m);
    expect(outcome.stdout).toContain('Observed: 7 flows at 2 workloads would have been dropped');
    expect(outcome.stderr).toContain('headgate promote trial --yes');
    expect(revision()).toBe(1);
  });

  it('with --yes enforces, and says which file to change', async () => {
    const outcome = await headgate('promote', 'trial/one', '--yes');
    expect(outcome.code).toBe(0);
    expect(outcome.stderr).toContain('revision 2 is in force');
    expect(outcome.stderr).toMatch(/change the mode in \/t\/documents\.yaml:\d+ too/);
    const modes = [...stack.native.state.rules.values()].map(({ action, mode }) => `${action} ${mode}`);
    expect(modes.sort()).toEqual(['allow enforce', 'allow observe', 'drop enforce']);
    expect(stack.control?.events.after(0).events.at(-1)?.what).toMatch(
      /revision 2 is in force: promote trial\/one/,
    );
  });

  it.each([
    ['y', 2],
    ['n', 1],
    ['', 1],
  ])('on a terminal asks; the answer "%s" leaves revision %d', async (answer, after) => {
    const outcome = await run('script', ['-qec', `${PROGRAM} promote trial`, '/dev/null'], `${answer}\n`);
    expect(outcome.stdout).toContain('Enforce trial? [y/N]');
    expect(revision(), outcome.stdout).toBe(after);
  });

  it('is refused when another revision came since the plan', async () => {
    await stack.control?.delete('SecurityPolicy', 'shop');
    await expect(stack.client.post('/v1/promote', { name: 'trial', revision: 1 })).rejects.toMatchObject({
      code: 'changed',
    });
    expect(revision()).toBe(2);
  });

  it('says what is enforced already', async () => {
    expect(await headgate('promote', 'shop', '--yes')).toMatchObject({ code: 1, stdout: '' });
  });
});
