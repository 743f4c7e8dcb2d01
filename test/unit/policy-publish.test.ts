// What is sent to an engine: all to an empty one, nothing when nothing changed, and for each kind of change the smallest
// delta there is.
import { describe, expect, test } from 'vitest';
import type { Document } from '../../src/documents/index.js';
import { deltaSchema, type Delta } from '../../src/engine/messages.js';
import { change, compile, diff, inventoryOf, isEmpty, withOrdersOf } from '../../src/policy/index.js';
import { EngineModel } from '../support/engine-model.js';
import { documents, make, workload, yaml } from './document-helpers.js';

const lan = make('Segment', 'lan', {});
const web = workload('web-1', ['10.0.0.11/24'], { tier: 'web' });
const db = workload('db-1', ['10.0.0.31/24'], { tier: 'db' });
const nothing = new EngineModel().inventory();

describe('the whole', () => {
  const all = [
    lan,
    web,
    db,
    ...documents(
      yaml('Host', 'h', 'default: drop\ntimeouts: {icmp: 5}\nlimits: {connections: 7}'),
      yaml('Group', 'g', 'addresses: [10.0.0.0/8]'),
      yaml('SecurityPolicy', 'p', 'rules: [{name: a, action: allow, from: {groups: [g]}}]'),
    ),
  ];
  const { desired } = compile(all);
  test('goes to an empty engine, whose schema takes it', () => {
    const delta = diff(nothing, desired);
    expect(deltaSchema.parse(delta)).toEqual(delta);
    expect(delta).toMatchObject({ defaultAction: 'drop', timeouts: { icmp: 5 }, limits: { connections: 7 } });
    const { setAddressSets, setRules, setSegments, setWorkloads, setScopes, setEntries } = delta;
    expect(
      [setAddressSets, setRules, setSegments, setWorkloads, setScopes, setEntries].map(
        (list) => list?.length,
      ),
    ).toEqual([1, 1, 1, 2, 1, 1]);
  });
  test('an engine without a default gets it, even when there is nothing else', () => {
    expect(diff(nothing, compile([]).desired)).toEqual({ defaultAction: 'allow' });
  });
  test('nothing to do is an empty delta', () => {
    expect(isEmpty(diff(inventoryOf(desired), desired, desired))).toBe(true);
    expect(diff(inventoryOf(desired), desired)).toEqual({
      timeouts: { icmp: 5 },
      limits: { connections: 7 },
    });
    expect(isEmpty(change(desired, compile([...all].reverse()).desired))).toBe(true);
  });
  test('what is gone is removed', () => {
    const delta = diff(inventoryOf(desired), compile([]).desired, desired);
    expect(delta).toEqual({
      defaultAction: 'allow',
      timeouts: {},
      limits: {},
      removeAddressSets: ['group:g'],
      removeRules: [...desired.policies.values()].flatMap(({ policy }) =>
        policy.rules.map((rule) => rule.content.key),
      ),
      removeSegments: ['lan'],
      removeWorkloads: ['db-1', 'web-1'],
      removeScopes: [...desired.scopes.keys()],
      removeEntries: ['p/a'],
    });
    expect(change(desired, compile([]).desired)).toEqual(delta);
  });
  test('an engine keeps the orders that it has', () => {
    const moved = { ...inventoryOf(desired), entries: { 'p/a': ['d', 3, 5] as [string, number, number] } };
    expect(diff(moved, withOrdersOf(compile(all), moved).desired).setEntries).toMatchObject([{ order: 5 }]);
  });
});

describe('the smallest delta of', () => {
  const rule = (name: string, port: number) => ({
    name,
    action: 'allow',
    from: { groups: ['big'] },
    to: { workloads: { matchLabels: { tier: 'web' } } },
    services: [{ protocol: 'tcp', ports: [port] }],
    appliedTo: { workloads: { matchLabels: { tier: 'web' } } },
  });
  const policy = (...rules: unknown[]) => make('SecurityPolicy', 'p', { rules });
  const big = make('Group', 'big', {
    addresses: Array.from({ length: 10_000 }, (_, i) => `10.${1 + (i >> 8)}.${i & 255}.${(i % 100) * 2}`),
    workloads: { matchLabels: { big: 'yes' } },
  });
  const rules = [rule('a', 1), rule('b', 2), rule('c', 3)];
  const base = [
    lan,
    web,
    db,
    big,
    policy(...rules),
    make('SecurityPolicy', 'z', { rules: [{ action: 'drop' }] }),
  ];
  const before = compile(base);
  const scopeOf = (name: string) => before.desired.policies.get(name)?.policy.rules[0]?.entry.scope;
  const [webScope, everyone] = [scopeOf('p'), scopeOf('z')];
  const webSet = before.desired.policies.get('p')?.policy.rules[0]?.content.destinations?.[0];
  const text = expect.any(String) as string;
  const replaced = (document: Document) =>
    base.map((one) => (one.metadata.name === document.metadata.name ? document : one));
  /** The delta from `base`; both ways to it come to the same, and an engine takes it. */
  const deltaTo = (after: Document[]): Delta => {
    const compiled = compile(after, before);
    const delta = change(before.desired, compiled.desired);
    const [fast, slow] = [new EngineModel(), new EngineModel()];
    for (const engine of [fast, slow]) engine.apply(diff(engine.inventory(), before.desired));
    fast.apply(delta);
    slow.apply(diff(slow.inventory(), compiled.desired));
    expect(fast.state).toEqual(slow.state);
    return delta;
  };

  test('a rule that changes', () => {
    expect(deltaTo(replaced(policy(rules[0], { ...rules[1], action: 'drop' }, rules[2])))).toEqual({
      setRules: [expect.objectContaining({ action: 'drop' })],
      setEntries: [expect.objectContaining({ id: 'p/b', category: 3, direction: 'both', scope: webScope })],
      removeRules: [text],
    });
  });
  test('a rule between two others', () => {
    const delta = deltaTo(replaced(policy(rules[0], rule('x', 4), rules[1], rules[2])));
    expect(delta).toEqual({
      setRules: [expect.anything()],
      setEntries: [expect.objectContaining({ id: 'p/x' })],
    });
    const [first, second] = before.desired.policies.get('p')?.orders ?? [];
    expect(delta.setEntries?.[0]?.order).toBeGreaterThan(first ?? 0);
    expect(delta.setEntries?.[0]?.order).toBeLessThan(second ?? 0);
  });
  test('rules that change places', () => {
    const delta = deltaTo(replaced(policy(rules[2], rules[0], rules[1])));
    expect(delta).toEqual({ setEntries: [expect.objectContaining({ id: 'p/c' })] });
  });
  test('a rule that goes', () => {
    expect(deltaTo(replaced(policy(rules[0], rules[2])))).toEqual({
      removeRules: [text],
      removeEntries: ['p/b'],
    });
  });
  test('a rule whose content another has too', () => {
    const same = { ...rules[0], name: 'same' };
    expect(deltaTo(replaced(policy(...rules, same)))).toEqual({
      setEntries: [expect.objectContaining({ id: 'p/same' })],
    });
  });
  test('a document that only moved', () => {
    const moved = { ...policy(...rules), origin: { file: 'elsewhere.yaml', line: 7 } } as Document;
    expect(deltaTo(replaced(moved))).toEqual({});
    expect(compile(replaced(moved), before).report.rule('p/a')).toMatchObject({ file: 'elsewhere.yaml' });
  });
  test('a label', () => {
    expect(deltaTo(replaced(workload('db-1', ['10.0.0.31/24'], { tier: 'web' })))).toEqual({
      editAddressSets: [{ name: webSet, digest: text, add: ['10.0.0.31'], remove: [] }],
      editScopes: [{ name: webScope, digest: text, add: ['db-1'], remove: [] }],
    });
  });
  test('a label that nothing asks for', () => {
    expect(deltaTo(replaced(workload('db-1', ['10.0.0.31/24'], { tier: 'db', owner: 'x' })))).toEqual({});
  });
  test('a workload that joins a group of 10,000 addresses', () => {
    expect(deltaTo(replaced(workload('db-1', ['10.0.0.31/24'], { tier: 'db', big: 'yes' })))).toEqual({
      editAddressSets: [{ name: 'group:big', digest: text, add: ['10.0.0.31'], remove: [] }],
    });
  });
  test('a workload that leaves everything', () => {
    expect(deltaTo(base.filter((one) => one !== web))).toEqual({
      setAddressSets: [{ name: webSet, digest: text, ranges: [] }],
      editScopes: [
        { name: webScope, digest: text, add: [], remove: ['web-1'] },
        { name: everyone, digest: text, add: [], remove: ['web-1'] },
      ],
      removeWorkloads: ['web-1'],
    });
  });
  test('a new workload', () => {
    expect(deltaTo([...base, workload('web-2', ['10.0.0.77/24'], { tier: 'web' })])).toEqual({
      editAddressSets: [{ name: webSet, digest: text, add: ['10.0.0.77'], remove: [] }],
      setWorkloads: [expect.objectContaining({ name: 'web-2' })],
      editScopes: [
        { name: webScope, digest: text, add: ['web-2'], remove: [] },
        { name: everyone, digest: text, add: ['web-2'], remove: [] },
      ],
    });
  });
  test('an address that a workload changes', () => {
    const delta = deltaTo(replaced(workload('web-1', ['10.0.0.99/24'], { tier: 'web' })));
    expect(Object.keys(delta)).toEqual(['setAddressSets', 'setWorkloads']);
    expect(delta.setAddressSets).toEqual([{ name: webSet, digest: text, ranges: ['10.0.0.99'] }]);
  });
});

test('10,000 rules of 1,000 workloads are compiled in seconds, and again in milliseconds', () => {
  const workloads = Array.from({ length: 1000 }, (_, i) =>
    workload(`w${i}`, [`10.${i >> 8}.${i & 255}.1/8`], { tier: `t${i % 50}` }),
  );
  const policyOf = (t: number, action: string) =>
    make('SecurityPolicy', `p${t}`, {
      rules: Array.from({ length: 20 }, (_, i) => ({
        name: `r${i}`,
        action,
        from: { workloads: { matchLabels: { tier: `t${(t + i) % 50}` } } },
        services: [{ protocol: 'tcp', ports: [t * 20 + i + 1] }],
        appliedTo: { workloads: { matchLabels: { tier: `t${i % 50}` } } },
      })),
    });
  const policies = Array.from({ length: 500 }, (_, t) => policyOf(t, 'allow'));
  // Processor time: a busy machine makes it no longer.
  const seconds = (work: () => void) => {
    const start = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(start);
    return (user + system) / 1e6;
  };
  const all = [lan, ...workloads, ...policies];
  let before = compile([]);
  expect(seconds(() => (before = compile(all)))).toBeLessThan(3);
  const edited = all.map((one) => (one === policies[7] ? policyOf(7, 'drop') : one));
  let delta: Delta = {};
  const again = seconds(() => (delta = change(before.desired, compile(edited, before).desired)));
  expect(delta.setEntries).toHaveLength(20);
  expect(again).toBeLessThan(0.05);
});
