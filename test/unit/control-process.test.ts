// Control as a process of its own (the compiled one), killed and started again, beside an engine that lives on.
import { spawn, type ChildProcess } from 'node:child_process';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ApplyResult, StatusResult } from '../../src/control/api.js';
import { BASE, changed, source, Stack } from '../support/stack.js';
import { until } from '../support/until.js';

const PROGRAM = resolve(import.meta.dirname, '../../bin/headgate');

let stack: Stack;
const children: ChildProcess[] = [];

beforeEach(() => {
  stack = new Stack();
});

afterEach(async () => {
  for (const child of children.splice(0)) await kill(child);
  await stack.end();
});

const control = (runDir: string) => [
  'control',
  '--config',
  stack.config,
  '--run-dir',
  runDir,
  '--state-dir',
  join(stack.directory, 'state'),
];

async function startControl(): Promise<ChildProcess> {
  const child = spawn(PROGRAM, control(stack.directory), { stdio: 'ignore' });
  children.push(child);
  await until('control answers and is ready', async () => (await status())?.ready === true);
  return child;
}

/** Of one that does not start. */
async function endOfControl(runDir: string): Promise<{ code: unknown; message: string }> {
  const child = spawn(PROGRAM, control(runDir), { stdio: ['ignore', 'ignore', 'pipe'] });
  children.push(child);
  let message = '';
  child.stderr?.on('data', (chunk: Buffer) => (message += chunk.toString()));
  const code = await new Promise((done) => child.once('close', done));
  return { code, message };
}

const status = () => stack.client.get<StatusResult>('/v1/status').catch(() => undefined);
const apply = (text: string) => stack.client.post<ApplyResult>('/v1/apply', { sources: source(text) });

function kill(child: ChildProcess): Promise<void> {
  return new Promise((done) => {
    if (child.exitCode !== null || child.signalCode !== null) return done();
    child.once('exit', () => done());
    child.kill('SIGKILL');
  });
}

describe('control that is killed', () => {
  it('finds its engine again, which did not notice', async () => {
    await stack.startEngine();
    const first = await startControl();
    await apply(BASE);
    const before = stack.native.inventory();
    const calls = stack.native.calls.length;
    await kill(first);
    expect(stack.native.inventory()).toEqual(before);
    await startControl();
    expect(stack.native.inventory()).toEqual(before);
    expect(stack.native.calls).toHaveLength(calls);
    expect(await status()).toMatchObject({ revision: 1, documents: 4 });
    expect((await apply(changed('drop'))).revision).toBe(2);
  });

  it('in the middle of applies agrees with its engine and its store afterwards, whenever that was', async () => {
    await stack.startEngine();
    for (let round = 0; round < 6; round++) {
      const control = await startControl();
      await apply(BASE);
      let acknowledged = (await status())?.revision ?? 0;
      const busy = (async () => {
        for (let i = 0; ; i++) acknowledged = (await apply(i % 2 === 0 ? changed('drop') : BASE)).revision;
      })().catch(() => undefined);
      await new Promise((done) => setTimeout(done, Math.random() * 150));
      await kill(control);
      await busy;
      const again = await startControl();
      const { revision } = (await status()) as StatusResult;
      expect(revision).toBeGreaterThanOrEqual(acknowledged);
      const rules = await stack.client.get<{ action: string }[]>('/v1/rules');
      // The engine holds what control says: applying that again sends it nothing.
      const deltas = stack.native.deltas.length;
      await apply(rules[0]?.action === 'drop' ? changed('drop') : BASE);
      expect(stack.native.deltas).toHaveLength(deltas);
      await kill(again);
    }
  });

  it('a second control on the same store is refused', async () => {
    await stack.startEngine();
    await startControl();
    const { code, message } = await endOfControl(stack.directory);
    expect(code).toBe(1);
    expect(message).toContain('Another control process uses the store');
    expect((await status())?.ready).toBe(true);
  });
});

it('control that cannot listen says so and ends', async () => {
  const { code, message } = await endOfControl(join(stack.directory, 'missing'));
  expect(message).toContain('Control cannot listen');
  expect(code).toBe(1);
});
