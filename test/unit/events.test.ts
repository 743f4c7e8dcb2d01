// What control remembers of what happened. The last test runs the compiled command (npm run build:ts).
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EventsResult } from '../../src/control/api.js';
import { AttachmentEvents } from '../../src/control/attachment-events.js';
import { Events } from '../../src/control/events.js';
import type { Attachment } from '../../src/engine/messages.js';
import { BASE, changed, source, Stack } from '../support/stack.js';
import { until } from '../support/until.js';

describe('the ring', () => {
  it('keeps a bounded number, and says how many were missed', () => {
    const events = new Events(3);
    for (let i = 1; i <= 5; i++) events.add('engine', `event ${i}`);
    expect(events.after(0)).toMatchObject({
      missed: 2,
      events: [{ number: 3 }, { number: 4 }, { number: 5 }],
    });
    expect(events.after(1).missed).toBe(1);
    expect(events.after(4)).toMatchObject({ missed: 0, events: [{ what: 'event 5' }] });
    expect(events.after(5)).toMatchObject({ missed: 0, events: [] });
  });
});

describe('workloads', () => {
  it('attached, lost, waiting for other reasons, removed', async () => {
    const events = new Events();
    let ready = true;
    let now: Attachment[] = [];
    let asked = 0;
    let turns = 0;
    const control = {
      ask: (() => ((asked += 1), Promise.resolve(now))) as never,
      status: () => ((turns += 1), { ready }) as never,
    };
    const watcher = new AttachmentEvents(control, events, 1);
    const seen = async (attachments: Attachment[]) => {
      const before = asked;
      const last = events.after(0).events.length;
      now = attachments;
      await until('it was asked twice', () => asked >= before + 2);
      return events.after(last).events.map(({ what }) => what);
    };
    watcher.start();
    expect(await seen([{ workload: 'a', state: 'waiting', detail: 'ENOENT' }])).toEqual(['a waits: ENOENT']);
    expect(await seen([{ workload: 'a', state: 'attached' }])).toEqual(['a is attached']);
    expect(await seen([{ workload: 'a', state: 'attached' }])).toEqual([]);
    expect(await seen([{ workload: 'a', state: 'waiting', detail: 'gone' }])).toEqual(['a was lost: gone']);
    expect(await seen([{ workload: 'a', state: 'failed', detail: 'EPERM' }])).toEqual(['a failed: EPERM']);
    expect(await seen([])).toEqual(['a was removed']);
    // Another engine, which holds no policy yet, has removed nothing.
    await seen([{ workload: 'a', state: 'attached' }]);
    ready = false;
    now = [];
    const { length } = events.after(0).events;
    const last = turns;
    await until('two more turns', () => turns >= last + 2);
    expect(events.after(0).events).toHaveLength(length);
    watcher.stop();
  });
});

describe('control', () => {
  let stack: Stack;
  beforeEach(async () => {
    stack = new Stack();
    await stack.start();
  });
  afterEach(() => stack.end());

  const happened = () =>
    stack.control?.events.after(0).events.map(({ kind, what }) => `${kind}: ${what}`) ?? [];

  it('tells of its start, its engine, revisions, refusals, and another engine', async () => {
    expect(happened()[0]).toMatch(/^control: control started: process \d+, revision 0$/);
    expect(happened()[1]).toMatch(/^engine: the engine is connected: process \d+, version 0\.0\.0-test$/);
    const before = happened().length;
    await stack.control?.apply(source(BASE), false);
    await stack.control?.apply(source(BASE), false);
    await expect(stack.control?.apply(source(changed('alow')), false)).rejects.toThrow();
    await expect(stack.control?.delete('Group', 'none')).rejects.toThrow();
    await stack.control?.rollback(1);
    await stack.control?.delete('SecurityPolicy', 'shop');
    expect(happened().slice(before)).toEqual([
      'revision: revision 1 is in force: apply, 4 documents changed',
      expect.stringMatching(
        /^refused: apply: There is an error in the documents.*documents\.yaml:\d+:\d+: .*alow/,
      ),
      'refused: delete Group none: There is no Group named none.',
      'revision: revision 2 is in force: delete SecurityPolicy shop, 1 document changed',
    ]);
    await stack.stopEngine();
    await until(
      'control notices',
      () => happened().at(-1)?.startsWith('engine: the engine is not connected') === true,
    );
    await stack.startEngine();
    await stack.ready();
    expect(happened().at(-1)).toBe('engine: the engine holds revision 2');
  });

  it('tells what the engine refuses', async () => {
    stack.native.refusal = Object.assign(new Error('the rules table is full'), { code: 'ENOSPC' });
    await expect(stack.control?.apply(source(BASE), false)).rejects.toThrow();
    expect(happened().at(-1)).toBe('refused: apply: the rules table is full');
  });

  it('the command follows, over a restart of control too', async () => {
    const program = resolve(import.meta.dirname, '../../bin/headgate');
    const child = spawn(program, ['events', '--follow', '-o', 'json', '--run-dir', stack.directory], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    try {
      let text = '';
      child.stdout.on('data', (data: Buffer) => (text += data.toString()));
      const follows = (what: string) => until(what, () => text.includes(what));
      await follows('control started');
      await stack.control?.apply(source(BASE), false);
      await follows('revision 1 is in force');
      await stack.stopControl();
      text = '';
      await stack.startControl();
      await stack.ready();
      await follows('the engine holds revision 1');
      expect(text).toContain('control started');
      for (const line of text.trim().split('\n')) expect(JSON.parse(line)).toHaveProperty('kind');
    } finally {
      child.kill();
    }
  });

  it('is asked over HTTP from a number on', async () => {
    const all = await stack.client.get<EventsResult>('/v1/events');
    const last = all.events.at(-1)?.number ?? 0;
    expect(last).toBeGreaterThan(1);
    const some = await stack.client.get<EventsResult>(`/v1/events?after=${last - 1}`);
    expect(some.events.map(({ number }) => number)).toEqual([last]);
  });
});
