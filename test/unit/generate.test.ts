// The generator: same seed, same output; as many as asked for; documents that Headgate takes; headers and flows that
// hit and that miss.
import { describe, expect, test } from 'vitest';
import { formatError, readDocuments } from '../../src/documents/index.js';
import type { Document } from '../../src/documents/index.js';
import { draftsOf, generateDatacenter } from '../../src/lab/generate/datacenter.js';
import { FAMILIES, families } from '../../src/lab/generate/families.js';
import { FlowDraw } from '../../src/lab/generate/flows.js';
import { generateHeaders, matches } from '../../src/lab/generate/headers.js';
import { Random } from '../../src/lab/generate/random.js';
import { formatTuple, parseTuples } from '../../src/lab/generate/tuple.js';
import type { Tuple } from '../../src/lab/generate/tuple.js';
import { generateTuples } from '../../src/lab/generate/tuples.js';
import { documentsOf, writeYaml } from '../../src/lab/generate/write.js';
import { check } from '../../src/policy/index.js';
import { evaluateIn, World } from '../../src/policy/evaluate.js';

const share = <T>(list: readonly T[], holds: (one: T) => boolean) => list.filter(holds).length / list.length;

describe.each(FAMILIES)('5-tuples of family %s', (family) => {
  const draw = (count: number, seed: number) => generateTuples(families[family], count, new Random(seed));
  const tuples = draw(3000, 11);

  test('the same seed gives the same rules, another seed others', () => {
    expect(draw(500, 5)).toEqual(draw(500, 5));
    expect(draw(500, 5)).not.toEqual(draw(500, 6));
  });

  test('as many as asked for, all different', () => {
    for (const count of [1, 10, 3000]) expect(new Set(draw(count, 1).map(formatTuple)).size).toBe(count);
  });

  test('written and read again they are the same', () => {
    expect(parseTuples(tuples.map(formatTuple).join('\n'))).toEqual(tuples);
  });

  test('there are more prefixes when there are more rules', () => {
    const prefixes = (list: Tuple[], end: 'source' | 'destination') =>
      new Set(list.map((tuple) => `${tuple[end].address}/${tuple[end].length}`)).size;
    for (const end of ['source', 'destination'] as const) {
      expect(prefixes(tuples, end)).toBeGreaterThan(300);
      expect(prefixes(draw(12_000, 11), end)).toBeGreaterThan(3 * prefixes(tuples, end));
    }
  });

  test('headers match the rules that they are drawn from; some drawn anywhere match none', () => {
    const random = new Random(3);
    for (const kind of ['corner', 'uniform'] as const) {
      const headers = generateHeaders(tuples, 2000, kind, random);
      expect(headers).toHaveLength(2000);
      for (const header of headers) expect(matches(tuples[header.rule] as Tuple, header)).toBe(true);
      expect(new Set(headers.map(({ rule }) => rule)).size).toBeGreaterThan(1000);
    }
    const anywhere = generateHeaders(tuples, 300, 'anywhere', random);
    const missing = share(anywhere, (header) => !tuples.some((tuple) => matches(tuple, header)));
    expect(missing).toBeGreaterThan(0.05);
  });

  test('headers repeat themselves as a Pareto distribution says', () => {
    const headers = generateHeaders(tuples, 2000, 'corner', new Random(3), { a: 1, b: 1 });
    expect(new Set(headers).size).toBeLessThan(1200);
  });
});

test('a line that is no rule is named', () => {
  expect(() => parseTuples('\nnothing\n')).toThrow('line 2 is not a rule');
});

const traits: Record<string, (tuple: Tuple) => boolean> = {
  'any source': ({ source }) => source.length <= 2,
  'narrow source': ({ source }) => source.length >= 28,
  'any destination': ({ destination }) => destination.length <= 2,
  'narrow destination': ({ destination }) => destination.length >= 28,
  'any protocol': ({ protocol }) => protocol.mask === 0,
  TCP: ({ protocol }) => protocol.value === 6,
  'one source port': ({ sourcePorts: [first, last] }) => first === last,
  'one destination port': ({ destinationPorts: [first, last] }) => first === last,
};
/** Shares of the traits in public sets of 10,000 rules. */
const shares = {
  acl: [0.07, 0.58, 0.05, 0.57, 0.27, 0.66, 0.0, 0.42],
  fw: [0.67, 0.25, 0.29, 0.68, 0.01, 0.57, 0.16, 0.66],
  ipc: [0.13, 0.29, 0.09, 0.41, 0.33, 0.27, 0.17, 0.36],
};

test.each(FAMILIES)('family %s resembles public sets', (family) => {
  const tuples = generateTuples(families[family], 9500, new Random(2));
  for (const [i, [name, trait]] of Object.entries(traits).entries())
    expect(Math.abs(share(tuples, trait) - (shares[family][i] ?? -1)), name).toBeLessThan(0.04);
});

describe('a datacenter', () => {
  const draw = (rules: number, workloads: number, seed = 1) =>
    generateDatacenter({ rules, workloads }, new Random(seed));
  const rulesOf = (documents: Document[]) =>
    documents.flatMap((one) => (one.kind === 'SecurityPolicy' ? one.spec.rules : []));

  test('the same seed gives the same documents and flows, another seed others', () => {
    expect(draw(200, 30)).toEqual(draw(200, 30));
    expect(draw(200, 30)).not.toEqual(draw(200, 30, 2));
    const flows = () => {
      const flow = new FlowDraw(documentsOf(draftsOf(draw(200, 30))), new Random(9));
      return Array.from({ length: 50 }, () => flow.draw('uniform'));
    };
    expect(flows()).toEqual(flows());
  });

  test.each([
    [10, 1],
    [10, 10],
    [1000, 100],
    [3000, 1000],
  ])('%d rules for %d workloads read and check without a word', (rules, workloads) => {
    const drafts = draftsOf(draw(rules, workloads));
    const { documents, errors } = readDocuments([{ file: 'drawn.yaml', text: writeYaml(drafts) }]);
    expect(errors.map(formatError)).toEqual([]);
    const plain = (list: Document[]) => list.map((one) => ({ ...one, origin: undefined }));
    expect(plain(documents)).toEqual(plain(documentsOf(drafts)));
    expect(check(documents)).toEqual({ errors: [], warnings: [] });
    expect(rulesOf(documents)).toHaveLength(rules);
    expect(documents.filter(({ kind }) => kind === 'Workload')).toHaveLength(workloads);
  });

  test('rules are of all kinds, and no two are the same', () => {
    const documents = documentsOf(draftsOf(draw(4000, 200)));
    const rules = rulesOf(documents);
    for (const action of ['allow', 'drop', 'reject', 'pass'] as const)
      expect(share(rules, (rule) => rule.action === action)).toBeGreaterThan(0.03);
    for (const direction of ['in', 'out', undefined])
      expect(share(rules, (rule) => rule.direction === direction)).toBeGreaterThan(0.2);
    expect(share(rules, (rule) => rule.mode === 'observe')).toBeGreaterThan(0.02);
    expect(share(rules, (rule) => rule.appliedTo !== undefined)).toBeGreaterThan(0.1);
    const contents = rules.map((rule) => JSON.stringify({ ...rule, name: '', appliedTo: '', direction: '' }));
    expect(new Set(contents).size).toBe(rules.length);
    const policies = documents.filter((one) => one.kind === 'SecurityPolicy');
    expect(new Set(policies.map(({ spec }) => spec.category)).size).toBe(4);
    for (const { spec } of policies.slice(0, -1)) {
      expect(spec.rules.length).toBeGreaterThanOrEqual(20);
      expect(spec.rules.length).toBeLessThanOrEqual(50);
    }
  });

  test('flows are decided by many different rules, and some by none', () => {
    const documents = documentsOf(draftsOf(draw(1000, 100)));
    const world = new World(documents);
    const flows = new FlowDraw(documents, new Random(4));
    for (const kind of ['corner', 'uniform'] as const) {
      const decided = Array.from({ length: 200 }, () => flows.draw(kind)).map(
        ({ workload, direction, packet }) => evaluateIn(world, workload, direction, packet).rule?.id,
      );
      expect(share(decided, (id) => id !== undefined)).toBeGreaterThan(0.5);
      expect(share(decided, (id) => id === undefined)).toBeGreaterThan(0.01);
      expect(new Set(decided).size).toBeGreaterThan(60);
    }
  });
});
