// Which connections an edit ends: one case for each of what may become of one.
import { expect, test } from 'vitest';
import type { Document } from '../../src/documents/index.js';
import type { Flow } from '../../src/engine/messages.js';
import { compile } from '../../src/policy/index.js';
import { findEnded } from '../../src/policy/quality-flows.js';
import { make, workload } from './document-helpers.js';

const base = [make('Segment', 'lan', {}), make('Host', 'h', { default: 'drop' })];
const web = workload('web', ['10.0.0.1/24']);
const db = workload('db', ['10.0.0.2/24']);
const policy = (...rules: object[]) => make('SecurityPolicy', 'p', { rules });
const allow = (name: string, ports: number[], more: object = {}) => ({
  name,
  action: 'allow',
  services: [{ protocol: 'tcp', ports }],
  ...more,
});

function flow(destinationPort: number, rule?: string, action: 'allow' | 'drop' = 'allow'): Flow {
  const end = (workload: string, direction: 'in' | 'out') => ({
    workload,
    direction,
    action,
    ...(rule && { rule }),
  });
  return {
    tracker: 'lan',
    protocol: 6,
    source: '10.0.0.1',
    sourcePort: 40_000,
    destination: '10.0.0.2',
    destinationPort,
    state: 'established',
    verdicts: [end('web', 'out'), end('db', 'in')],
    packets: [1, 1],
    bytes: [1, 1],
    age: 1,
    idle: 1,
    expires: 1,
  };
}

function ended(before: Document[], after: Document[], flows: Flow[], timeIsUp = () => false) {
  const desired = (documents: Document[]) => compile([...base, ...documents]).desired;
  const search = findEnded(desired(before), desired(after), { flows, total: flows.length + 1 }, timeIsUp);
  for (let step = search.next(); ; step = search.next()) if (step.done) return step.value;
}

const before = [
  web,
  db,
  policy(
    allow('a', [80, 81]),
    allow('k', [90], { onChange: 'keep' }),
    allow('r', [91], { onChange: 'reset' }),
  ),
];
const flows = [
  flow(80, 'p/a'),
  flow(81, 'p/a'),
  flow(90, 'p/k'),
  flow(91, 'p/r'),
  flow(99, undefined, 'drop'),
];

test('what is denied ends as the rule that allowed it says', () => {
  const deny = { name: 'no', action: 'drop', direction: 'in', services: [{ protocol: 'tcp', ports: [80] }] };
  const found = ended(before, [web, db, policy(deny, allow('a', [80, 81]))], flows);
  expect(found).toMatchObject({ total: 6, lookedAt: 5, dropped: 1, reset: 1, kept: 1 });
  expect(found.examples).toEqual([
    {
      flow: {
        protocol: 6,
        source: '10.0.0.1',
        sourcePort: 40_000,
        destination: '10.0.0.2',
        destinationPort: 80,
      },
      at: { workload: 'db', direction: 'in', rule: 'p/no' },
      how: 'dropped',
    },
    {
      flow: {
        protocol: 6,
        source: '10.0.0.1',
        sourcePort: 40_000,
        destination: '10.0.0.2',
        destinationPort: 91,
      },
      at: { workload: 'web', direction: 'out' },
      how: 'reset',
    },
  ]);
});

test('nothing ends where nothing changes, nor what the old policy denies as well', () => {
  expect(ended(before, before, flows)).toMatchObject({
    lookedAt: 5,
    dropped: 0,
    reset: 0,
    kept: 0,
    examples: [],
  });
  const denied = [flow(1234, 'p/gone')];
  expect(ended(before, [web, db, policy(allow('a', [80]))], denied)).toMatchObject({
    lookedAt: 1,
    dropped: 0,
  });
});

test('connections of a workload that goes end', () => {
  const found = ended(before, [web, before[2] as Document], flows);
  expect(found).toMatchObject({ dropped: 4, reset: 0, kept: 0 });
  expect(found.examples[0]).not.toHaveProperty('at');
});

test('when time is up, the rest is not looked at', () => {
  const many = Array.from({ length: 2000 }, () => flow(80, 'p/a'));
  const found = ended(before, before, many, () => true);
  expect(found.lookedAt).toBeGreaterThan(0);
  expect(found.lookedAt).toBeLessThan(2000);
  expect(found.total).toBe(2001);
});
