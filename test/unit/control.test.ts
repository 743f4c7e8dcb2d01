// Control against a faked engine over a real socket: what is promised when something is refused, dies or comes back.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MemoryStore } from '../../src/store/memory-store.js';
import { FakeEngine } from '../support/fake-engine.js';
import { BASE, changed, HOST, source, Stack } from '../support/stack.js';
import { until } from '../support/until.js';

let stack: Stack;

beforeEach(() => {
  stack = new Stack();
});

afterEach(() => stack.end());

const kinds = (result: { changes: { change: string; kind: string; name: string }[] }) =>
  result.changes.map(({ change, kind, name }) => `${change} ${kind}/${name}`).sort();

describe('apply', () => {
  it('publishes and commits', async () => {
    const control = await stack.start();
    const result = await control.apply(source(BASE), false);
    expect(kinds(result)).toEqual([
      'added SecurityPolicy/shop',
      'added Segment/lan',
      'added Workload/db',
      'added Workload/web',
    ]);
    expect(result.revision).toBe(1);
    const inventory = stack.native.inventory();
    expect(inventory.defaultAction).toBe('drop');
    expect(Object.keys(inventory.workloads).sort()).toEqual(['db', 'web']);
    expect(inventory.rules).toHaveLength(1);
    expect((await stack.store.load()).revision?.documents).toHaveLength(4);
    expect(stack.native.calls.sort()).toEqual(['attach db', 'attach web']);
  });

  it('changes nothing when nothing differs', async () => {
    const control = await stack.start();
    const first = await control.apply(source(BASE), false);
    const deltas = stack.native.deltas.length;
    const again = await control.apply(source(BASE), false);
    expect(again.changes).toEqual([]);
    expect(again.revision).toBe(first.revision);
    expect(stack.native.deltas).toHaveLength(deltas);
  });

  it('sends only what differs', async () => {
    const control = await stack.start();
    await control.apply(source(BASE), false);
    const result = await control.apply(source(changed('drop')), false);
    expect(kinds(result)).toEqual(['changed SecurityPolicy/shop']);
    const delta = stack.native.deltas.at(-1);
    expect(delta?.setRules).toHaveLength(1);
    expect(delta?.setWorkloads ?? []).toEqual([]);
    expect(delta?.removeRules).toHaveLength(1);
  });

  it('asks for the inventory after a connect, and then knows what the engine holds', async () => {
    const control = await stack.start();
    let asked = 0;
    const inventory = stack.native.inventory.bind(stack.native);
    stack.native.inventory = () => {
      asked += 1;
      return inventory();
    };
    await control.apply(source(BASE), false);
    await control.apply(source(changed('drop')), false);
    expect(asked).toBe(0);
    expect(stack.native.deltas.map(({ base }) => base)).toEqual([0, 1, 2]);
    // Somebody else published: the engine refuses what was made against another state.
    await stack.native.publish({ removeEntries: ['shop/web-to-db'] });
    const result = await control.apply(source(changed('reject')), false);
    expect(asked).toBe(1);
    expect(result.generation).toBe(5);
    const [rule, ...others] = stack.native.state.rules.values();
    expect([rule?.action, others.length]).toEqual(['reject', 0]);
    expect([...stack.native.state.entries.keys()]).toEqual(['shop/web-to-db']);
  });

  it('removes what the files do not name only with prune', async () => {
    const control = await stack.start();
    await control.apply(source(BASE), false);
    const withoutDb = BASE.replace(/---\napiVersion[^-]*metadata: \{name: db[\s\S]*?(?=---)/, '');
    expect(kinds(await control.apply(source(withoutDb), false))).toEqual([]);
    expect(kinds(await control.apply(source(withoutDb), true))).toEqual(['removed Workload/db']);
    expect(stack.native.calls).toContain('detach db and remove');
  });

  it('refuses errors in documents whole', async () => {
    const control = await stack.start();
    await control.apply(source(BASE), false);
    const before = stack.native.inventory();
    await expect(control.apply(source(changed('alow')), false)).rejects.toMatchObject({
      code: 'documents',
      details: [expect.stringMatching(/documents\.yaml:\d+:\d+: .*allow/)],
    });
    expect(stack.native.inventory()).toEqual(before);
    expect(control.status().revision).toBe(1);
  });

  it('leaves the old policy in force when the engine refuses', async () => {
    const control = await stack.start();
    await control.apply(source(BASE), false);
    const before = stack.native.inventory();
    stack.native.refusal = Object.assign(new Error('the rules table is full'), { code: 'ENOSPC' });
    await expect(control.apply(source(changed('drop')), false)).rejects.toMatchObject({
      code: 'ENOSPC',
      message: 'the rules table is full',
    });
    expect(stack.native.inventory()).toEqual(before);
    expect((await stack.store.load()).revision?.number).toBe(1);
    expect(control.plan(source(BASE), true).result.changes).toEqual([]);
    expect(control.status().ready).toBe(true);
  });

  it('is refused whole for a workload that the host file does not permit', async () => {
    const control = await stack.start();
    const before = stack.native.inventory();
    await expect(
      control.apply(source(BASE.replace('netns: hg-db', 'netns: other')), false),
    ).rejects.toMatchObject({ code: 'not-permitted' });
    expect(stack.native.inventory()).toEqual(before);
    expect(stack.native.calls).toEqual([]);
  });

  it('puts the old policy back when the store cannot commit', async () => {
    const control = await stack.start();
    await control.apply(source(BASE), false);
    const before = { ...stack.native.inventory(), generation: 0 };
    stack.store.commit = () => Promise.reject(new Error('no space left'));
    await expect(control.apply(source(changed('drop')), false)).rejects.toThrow('no space left');
    expect({ ...stack.native.inventory(), generation: 0 }).toEqual(before);
  });

  it('refuses a Host document that differs from the host file, and leaves out one that says the same', async () => {
    const control = await stack.start();
    await expect(
      control.apply(source(HOST.replace('default: drop', 'default: allow')), false),
    ).rejects.toMatchObject({
      code: 'host-document',
      remedy: expect.stringContaining(stack.config) as string,
    });
    expect(kinds(await control.apply(source(`${HOST}---${BASE}`), false))).toHaveLength(4);
  });

  it('moves an attached workload to another segment', async () => {
    const control = await stack.start();
    await control.apply(source(BASE), false);
    const other = 'apiVersion: headgate/v1\nkind: Segment\nmetadata: {name: dmz}\nspec: {}\n---';
    const moved = `${other}${BASE.replace('segment: lan', 'segment: dmz')}`;
    // Refused all the same: it is put back where it was.
    const publish = stack.native.publish.bind(stack.native);
    let attempts = 0;
    stack.native.publish = (delta) => {
      attempts += 1;
      if (attempts === 2) stack.native.refusal = new Error('the table is full');
      return publish(delta);
    };
    await expect(control.apply(source(moved), false)).rejects.toThrow('the table is full');
    const states = await control.ask('attachments', {});
    expect(states.map(({ state }) => state)).toEqual(['attached', 'attached']);
    await control.apply(source(moved), false);
    expect(stack.native.calls.slice(2)).toEqual(['detach web', 'attach web', 'detach web', 'attach web']);
    expect((await control.ask('attachments', {})).map(({ state }) => state)).toEqual([
      'attached',
      'attached',
    ]);
  });

  it('runs changes one after the other', async () => {
    const control = await stack.start();
    let open = () => {};
    stack.native.gate = new Promise((resolve) => (open = resolve));
    const first = control.apply(source(BASE), false);
    const second = control.delete('SecurityPolicy', 'shop');
    open();
    expect((await first).revision).toBe(1);
    expect(kinds(await second)).toEqual(['removed SecurityPolicy/shop']);
  });

  it('without an engine changes nothing', async () => {
    const control = await stack.startControl();
    await expect(control.apply(source(BASE), false)).rejects.toMatchObject({ code: 'engine-unavailable' });
    expect(await stack.store.list()).toEqual([]);
  });
});

describe('delete and rollback', () => {
  it('delete names what is not there', async () => {
    const control = await stack.start();
    await expect(control.delete('Group', 'none')).rejects.toMatchObject({ code: 'not-found' });
  });

  it('a document that others need is not deleted', async () => {
    const control = await stack.start();
    await control.apply(source(BASE), false);
    await expect(control.delete('Segment', 'lan')).rejects.toMatchObject({ code: 'documents' });
    expect(Object.keys(stack.native.inventory().segments)).toEqual(['lan']);
  });

  it('rollback goes back and makes a new revision', async () => {
    const control = await stack.start();
    await control.apply(source(BASE), false);
    const allowed = stack.native.inventory().rules;
    await control.apply(source(changed('drop')), false);
    const result = await control.rollback();
    expect(result.revision).toBe(3);
    expect(stack.native.inventory().rules).toEqual(allowed);
    expect((await stack.store.load()).revision?.cause).toBe('rollback to 1');
    expect((await control.rollback(2)).revision).toBe(4);
    await expect(control.rollback(99)).rejects.toMatchObject({ code: 'revision-unknown' });
  });
});

describe('an engine that comes and goes', () => {
  it('gets the policy of the store when control starts', async () => {
    const store = new MemoryStore();
    await stack.end();
    stack = new Stack(store);
    const control = await stack.start();
    await control.apply(source(BASE), false);
    await stack.stopControl();
    await stack.stopEngine();
    await stack.startEngine();
    await stack.startControl();
    await stack.ready();
    expect(Object.keys(stack.native.inventory().workloads).sort()).toEqual(['db', 'web']);
  });

  it('is given the policy again after its restart', async () => {
    const control = await stack.start();
    await control.apply(source(BASE), false);
    const held = stack.native.inventory();
    await stack.stopEngine();
    await until('control notices', () => !control.status().ready);
    const fresh = await stack.startEngine();
    await stack.ready();
    expect({ ...fresh.inventory(), generation: 0 }).toEqual({ ...held, generation: 0 });
    expect(fresh.calls.sort()).toEqual(['attach db', 'attach web']);
  });

  it('is not touched by a control that comes back', async () => {
    const control = await stack.start();
    await control.apply(source(BASE), false);
    await stack.stopControl();
    const calls = stack.native.calls.length;
    const deltas = stack.native.deltas.length;
    await stack.startControl();
    await stack.ready();
    expect(stack.native.calls).toHaveLength(calls);
    expect(stack.native.deltas).toHaveLength(deltas);
  });

  it('loses what a crash left in it without a promise', async () => {
    const control = await stack.start();
    await control.apply(source(BASE), false);
    const promised = stack.native.inventory();
    // Control dies between publish and commit: the engine holds more than the store.
    stack.store.commit = () => new Promise(() => undefined);
    void control.apply(source(changed('drop')), false).catch(() => undefined);
    await until(
      'the engine has it',
      () => !stack.native.inventory().rules.includes(promised.rules[0] as string),
    );
    delete (stack.store as Partial<MemoryStore>).commit;
    await stack.api?.close();
    const other = stack.control;
    stack.control = undefined;
    await stack.startControl();
    await stack.ready();
    expect(stack.native.inventory().rules).toEqual(promised.rules);
    void other?.stop();
  });

  it('that does not take the policy of the store is reported, and enforces what it had', async () => {
    const control = await stack.start();
    await control.apply(source(BASE), false);
    await stack.stopEngine();
    stack.permits = { namespaces: [], interfaces: [] };
    const fresh = await stack.startEngine(new FakeEngine());
    await until('control gives up', () => control.status().refused === true);
    expect(control.status()).toMatchObject({
      ready: false,
      fault: expect.stringContaining('does not permit') as string,
    });
    expect(fresh.inventory().workloads).toEqual({});
  });
});

describe('conf.d', () => {
  it('is applied at start', async () => {
    mkdirSync(join(stack.directory, 'conf.d'));
    writeFileSync(join(stack.directory, 'conf.d', 'base.yaml'), BASE);
    await stack.start();
    expect(Object.keys(stack.native.inventory().workloads).sort()).toEqual(['db', 'web']);
    expect((await stack.store.load()).revision?.cause).toBe('conf.d');
    expect(stack.control?.documents.find(({ kind }) => kind === 'Segment')?.origin.file).toBe(
      join(stack.directory, 'conf.d', 'base.yaml'),
    );
  });

  it('with errors leaves the policy of the store in force and says so', async () => {
    await (await stack.start()).apply(source(BASE), false);
    await stack.stopControl();
    mkdirSync(join(stack.directory, 'conf.d'));
    writeFileSync(join(stack.directory, 'conf.d', 'bad.yaml'), 'apiVersion: headgate/v1\nkind: Grup\n');
    await stack.startControl();
    await stack.ready();
    expect(stack.native.inventory().rules).toHaveLength(1);
    expect(stack.lines.filter(({ level }) => level === 'error')).toEqual([
      expect.objectContaining({ msg: 'conf.d is not applied; the policy of the store stays' }),
    ]);
  });
});
