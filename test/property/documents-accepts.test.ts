// The predicate compiled from a schema against the schema: what it passes, the schema passes unchanged; it passes nearly
// all that the schema does.
import { expect, test } from 'vitest';
import fc from 'fast-check';
import { z } from 'zod';
import { accepts } from '../../src/documents/accepts.js';
import { labelKey, labelValue } from '../../src/documents/fields.js';
import { SPEC_SCHEMAS } from '../../src/documents/specs.js';
import { Random } from '../support/random.js';
import { documentSets } from './arbitrary-documents.js';
import { holds } from './random.js';

const ODD = [
  ...[
    null,
    undefined,
    '',
    'a',
    'A',
    '-',
    'allow',
    'in',
    'tcp',
    '10.0.0.1',
    '10.0.0.1/8',
    '::/0',
    '__proto__',
    'x'.repeat(64),
  ],
  ...[0, -1, 1.5, 65536, NaN, Infinity, 10n, true, [], {}, [null], [[]], { a: 1 }, new Date(0), new Map()],
];

/** The value with something in it replaced, removed or added. */
function damage(value: unknown, random: Random): unknown {
  if (typeof value !== 'object' || value === null || random.chance(0.15)) return random.pick(ODD);
  if (Array.isArray(value)) {
    const i = random.below(value.length + 1);
    const change = random.chance(0.3) ? [] : [damage(value[i], random)];
    return [...(value as unknown[]).slice(0, i), ...change, ...(value as unknown[]).slice(i + 1)];
  }
  const map = { ...(value as Record<string, unknown>) };
  const keys = Object.keys(map);
  const key =
    random.chance(0.1) || keys.length === 0
      ? random.pick(['new', 'name', 'constructor', '-a b'])
      : random.pick(keys);
  if (random.chance(0.2)) return Object.fromEntries(Object.entries(map).filter(([name]) => name !== key));
  return { ...map, [key]: damage(map[key], random) };
}

test('the predicate passes what the schema passes, and nothing else', () => {
  const tally = { right: 0, accepted: 0, damaged: 0, refused: 0 };
  holds('documents-accepts.test.ts', fc.tuple(documentSets, fc.nat()), 300, ([documents, seed]) => {
    const random = new Random(seed);
    for (const { kind, spec } of documents) {
      for (const value of [spec, damage(spec, random), damage(spec, random)]) {
        const schema = SPEC_SCHEMAS[kind] as z.ZodType;
        const accepted = accepts(schema, value);
        const result = schema.safeParse(value);
        if (accepted) expect(result).toStrictEqual({ success: true, data: value });
        if (value !== spec) tally.damaged++;
        if (value !== spec && !result.success) tally.refused++;
        if (result.success && kind !== 'Host') tally.right++;
        if (accepted) tally.accepted++;
      }
    }
  });
  expect(tally.accepted).toBeGreaterThan(tally.right * 0.99);
  expect(tally.refused).toBeGreaterThan(tally.damaged / 4);
});

test('keys of maps are looked at', () => {
  const labels = z.record(labelKey, labelValue);
  expect([accepts(labels, { 'a/b': 'c' }), accepts(labels, { '-a': 'c' })]).toEqual([true, false]);
});

test('whole numbers and tuples, as the messages of the engine have them', () => {
  const values = [0, 1, 1.5, 9, 10, -1, 2 ** 53, NaN, '1', [1, 'a'], [1], ['a', 1], [1, 'a', 1], [1.5, 'a']];
  for (const schema of [z.int(), z.int().min(0).max(9), z.tuple([z.int(), z.string()])])
    for (const value of values)
      expect([value, accepts(schema, value)]).toEqual([value, schema.safeParse(value).success]);
});

test('schemas of other types are left to the schema', () => {
  for (const schema of [z.object({}), z.email(), z.int32(), z.date(), z.looseObject({})])
    for (const value of [{}, 'a@b.example', 1, new Date(0)]) expect(accepts(schema, value)).toBe(false);
  const late = z.string().refine((value) => Promise.resolve(value === 'no'));
  expect(accepts(late, 'yes')).toBe(false);
});
