// What is said of rules against brute force: an unreachable rule decides, passes and observes nothing; without the
// redundant and unreachable ones, one by one and all at once, everything is decided alike. Sampled over random worlds,
// where most rules are wide, and over drawn datacenters, at the corners of what rules say.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Document, Rule, SecurityPolicyDocument } from '../../src/documents/index.js';
import { draftsOf, generateDatacenter } from '../../src/lab/generate/datacenter.js';
import { FlowDraw } from '../../src/lab/generate/flows.js';
import type { Flow } from '../../src/lab/generate/flows.js';
import { Random } from '../../src/lab/generate/random.js';
import { documentsOf } from '../../src/lab/generate/write.js';
import { evaluateIn, World } from '../../src/policy/evaluate.js';
import { compile } from '../../src/policy/index.js';
import { ruleIds } from '../../src/policy/names.js';
import { Judge } from '../../src/policy/quality-flows.js';
import { qualityOf } from '../../src/policy/quality.js';
import type { Direction } from '../../src/policy/types.js';
import { documentSets, packets, places } from './arbitrary-documents.js';
import { holds } from './random.js';

const flows = fc.array(
  fc.record({ place: places, packet: packets }).map(({ place, packet }): Flow => ({
    workload: place.workload,
    direction: place.direction as Direction,
    packet,
  })),
  { minLength: 20, maxLength: 60 },
);

/** What comes of a flow but for which rule it is. */
function outcome(world: World, { workload, direction, packet }: Flow): unknown {
  const { action, rule, observed } = evaluateIn(world, workload, direction, packet);
  const found = rule && findRule(world, rule.id);
  return {
    action,
    log: found?.log ?? false,
    onChange: found?.onChange ?? 'reevaluate',
    observed: observed.map(({ id }) => id),
  };
}

function findRule(world: World, id: string): Rule | undefined {
  for (const { document, ids } of world.policies)
    if (ids.includes(id)) return document.spec.rules[ids.indexOf(id)];
  return undefined;
}

/** Names every rule, so that others keep their ids when it goes. */
function named(documents: readonly Document[]): Document[] {
  return documents.map((document) => {
    if (document.kind !== 'SecurityPolicy') return document;
    const rules = document.spec.rules.map((rule, i) => ({ ...rule, name: rule.name ?? `unnamed-${i}` }));
    return { ...document, spec: { ...document.spec, rules } };
  });
}

function withoutRules(documents: readonly Document[], gone: ReadonlySet<string>): Document[] {
  return documents.map((document) => {
    if (document.kind !== 'SecurityPolicy') return document;
    const ids = ruleIds(document);
    const rules = document.spec.rules.filter((_, i) => !gone.has(ids[i] ?? ''));
    return { ...document, spec: { ...document.spec, rules } } as SecurityPolicyDocument;
  });
}

interface Tally {
  unreachable: number;
  redundant: number;
  together: number;
  hits: number;
}

function holdAgainst(
  documents: readonly Document[],
  asked: readonly Flow[],
  tally: Tally,
  single: number,
): void {
  const { findings, lookedAt, rules } = qualityOf(compile(documents).desired);
  expect(lookedAt).toBe(rules);
  const world = new World(documents);
  const before = asked.map((flow) => outcome(world, flow));
  const unreachable = new Set(
    findings.filter(({ kind }) => kind === 'unreachable').map(({ rule }) => rule.id),
  );
  for (const { workload, direction, packet } of asked) {
    const { rule, passed, observed } = evaluateIn(world, workload, direction, packet);
    for (const { id } of [rule ?? [], passed, observed].flat()) {
      expect([id, unreachable.has(id)]).toEqual([id, false]);
      tally.hits++;
    }
  }
  const compare = (gone: string[]) => {
    const rest = new World(withoutRules(documents, new Set(gone)));
    const after = asked.map((flow) => outcome(rest, flow));
    for (const [i, one] of after.entries())
      expect({ gone, flow: asked[i], outcome: one }).toEqual({ gone, flow: asked[i], outcome: before[i] });
  };
  const ids = findings.map(({ rule }) => rule.id);
  compare(ids);
  for (const id of ids.slice(0, single)) compare([id]);
  for (const { kind, by } of findings) {
    tally[kind]++;
    if (kind === 'unreachable' && by.length > 1) tally.together++;
  }
}

const empty = (): Tally => ({ unreachable: 0, redundant: 0, together: 0, hits: 0 });

test('in random worlds', () => {
  const tally = empty();
  holds('policy-quality.test.ts', fc.tuple(documentSets, flows), 600, ([documents, asked]) =>
    holdAgainst(named(documents), asked, tally, Infinity),
  );
  expect(tally.unreachable).toBeGreaterThan(20);
  expect(tally.redundant).toBeGreaterThan(20);
  expect(tally.hits).toBeGreaterThan(1000);
});

test('the judge of connections says what evaluate says', () => {
  const tally = { rule: 0, default: 0 };
  holds('policy-quality.test.ts', fc.tuple(documentSets, flows), 300, ([documents, asked]) => {
    const judge = new Judge(compile(documents).desired);
    const world = new World(documents);
    for (const { workload, direction, packet } of asked) {
      const { action, rule } = evaluateIn(world, workload, direction, packet);
      const flow = { sourcePort: 0, destinationPort: 0, ...packet } as Parameters<Judge['judge']>[2];
      const said = judge.judge(workload, direction, flow);
      expect({ packet, ...said }).toEqual({ packet, action, ...(rule && { rule: rule.id }) });
      tally[rule ? 'rule' : 'default']++;
    }
  });
  expect(Math.min(tally.rule, tally.default)).toBeGreaterThan(100);
});

const seed = Number(process.env['HEADGATE_SEED'] ?? Date.now() % 2 ** 31);
const again = `HEADGATE_SEED=${seed} npx vitest run test/property/policy-quality.test.ts`;

test.each(['corner', 'uniform'] as const)(`in drawn datacenters, %s flows (${again})`, (kind) => {
  const tally = empty();
  // Some datacenters have few such rules: more are drawn until enough were seen.
  const few = () => Math.min(tally.redundant, tally.unreachable) <= 3;
  for (let round = 0; round < 2 || (few() && round < 12); round++) {
    const random = new Random(seed + round);
    // Few names and many rules: they overlap more than real ones.
    const documents = documentsOf(draftsOf(generateDatacenter({ rules: 150, workloads: 6 }, random)));
    const draw = new FlowDraw(documents, random);
    holdAgainst(
      documents,
      Array.from({ length: 80 }, () => draw.draw(kind)),
      tally,
      5,
    );
  }
  expect(tally.redundant).toBeGreaterThan(3);
  expect(tally.unreachable).toBeGreaterThan(3);
});

describe('time', () => {
  test('when it is up, it is said how many rules were looked at', async () => {
    const { findQuality } = await import('../../src/policy/quality.js');
    const documents = documentsOf(
      draftsOf(generateDatacenter({ rules: 2000, workloads: 50 }, new Random(1))),
    );
    const { desired } = compile(documents);
    const search = findQuality(desired, new Set(), () => true);
    let step = search.next();
    while (!step.done) step = search.next();
    expect(step.value.rules).toBe(2000);
    expect(step.value.lookedAt).toBeLessThan(2000);
  });
});
