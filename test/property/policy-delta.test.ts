// Deltas: what is applied to an engine that holds A makes it hold B, no more and no less, and then nothing is
// left to send.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Delta } from '../../src/engine/messages.js';
import { deltaSchema } from '../../src/engine/messages.js';
import { compile, diff, inventoryOf, isEmpty, plan } from '../../src/policy/index.js';
import type { Desired } from '../../src/policy/index.js';
import { documentSets } from './arbitrary-documents.js';
import { holds } from './random.js';

const nothing: Desired = {
  defaultAction: 'allow',
  timeouts: {},
  addressSets: new Map(),
  rules: new Map(),
  segments: new Map(),
  workloads: new Map(),
  indexes: new Map(),
};

/** As the engine does it: set everything, then remove; a workload's tables go with it. */
function apply(held: Desired, delta: Delta): Desired {
  const next = structuredClone(held);
  for (const set of delta.setAddressSets ?? []) next.addressSets.set(set.name, set);
  for (const rule of delta.setRules ?? []) next.rules.set(rule.key, rule);
  for (const segment of delta.setSegments ?? []) next.segments.set(segment.name, segment);
  for (const workload of delta.setWorkloads ?? []) next.workloads.set(workload.name, workload);
  for (const index of delta.setIndexes ?? []) next.indexes.set(index.workload, index);
  const remove = (from: Map<string, unknown>, names: string[] = []) => {
    for (const name of names) expect(from.delete(name)).toBe(true);
  };
  remove(next.addressSets, delta.removeAddressSets);
  remove(next.rules, delta.removeRules);
  remove(next.segments, delta.removeSegments);
  remove(next.workloads, delta.removeWorkloads);
  remove(next.indexes, delta.removeWorkloads);
  return {
    ...next,
    defaultAction: delta.defaultAction ?? next.defaultAction,
    timeouts: delta.timeouts ?? next.timeouts,
  };
}

const sorted = (desired: Desired) =>
  Object.fromEntries(
    Object.entries(desired).map(([key, value]) => [
      key,
      value instanceof Map
        ? [...(value as Map<string, unknown>)].sort(([a], [b]) => (a < b ? -1 : 1))
        : (value as unknown),
    ]),
  );

/** Two sets of documents, the second often the first with some taken away. */
const pairs = fc
  .tuple(documentSets, documentSets, fc.infiniteStream(fc.boolean()), fc.boolean())
  .map(([a, b, coins, related]) => {
    if (!related) return [a, b] as const;
    const kept = a.filter((one) => one.kind !== 'SecurityPolicy' || coins.next().value);
    return [a, kept] as const;
  });

test('a delta leads from one policy to the other and is accepted by the schema', () => {
  holds('policy-delta.test.ts', pairs, 200, ([before, after]) => {
    const [a, b] = [compile(before).desired, compile(after).desired];
    const first = apply(nothing, diff(inventoryOf(nothing), a));
    expect(sorted(first)).toEqual(sorted(a));
    const delta = diff(inventoryOf(a), b, a.timeouts);
    expect(deltaSchema.parse(delta)).toEqual(delta);
    expect(sorted(apply(first, delta))).toEqual(sorted(b));
    expect(diff(inventoryOf(b), b, b.timeouts)).toEqual({});
    expect(isEmpty(diff(inventoryOf(b), compile([...after].reverse()).desired, b.timeouts))).toBe(true);
  });
});

test('plan names a change for every delta, and none for equal documents', () => {
  holds('policy-delta.test.ts', pairs, 100, ([before, after]) => {
    const { changes, delta } = plan(before, after);
    if (changes.length === 0) expect(delta).toEqual({});
    for (const { change, fields } of changes) expect(fields.length > 0).toBe(change === 'changed');
    expect(plan(after, after)).toMatchObject({ changes: [], unchanged: after.length, delta: {} });
  });
});
