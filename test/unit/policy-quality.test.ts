// What is found: one case for each way in which rules take flows from each other, and one for each reason why not.
import { expect, test } from 'vitest';
import type { Document } from '../../src/documents/index.js';
import { compile } from '../../src/policy/index.js';
import { qualityOf } from '../../src/policy/quality.js';
import { make, workload } from './document-helpers.js';

const base = [
  make('Segment', 'lan', {}),
  workload('web', ['10.0.0.1/24'], { tier: 'web' }),
  workload('db', ['10.0.0.2/24'], { tier: 'db' }),
];
const policy = (name: string, rules: object[], spec: object = {}) =>
  make('SecurityPolicy', name, { ...spec, rules: rules.map((rule, i) => ({ name: `r${i}`, ...rule })) });
const found = (...more: Document[]) =>
  qualityOf(compile([...base, ...more]).desired).findings.map(
    ({ kind, rule, by }) => `${rule.id} ${kind}: ${by.map(({ id }) => id).join(' ') || 'end'}`,
  );
const inOrder = (...rules: object[]) => found(policy('p', rules));

const net = (...addresses: string[]) => ({ addresses });
const tcp = (...ports: (string | number)[]) => ({ services: [{ protocol: 'tcp', ports }] });
const drop = { action: 'drop' };
const allow = { action: 'allow' };
const web = { appliedTo: { workloads: { matchLabels: { tier: 'web' } } } };
const dropHost = make('Host', 'h', { default: 'drop' });

const cases: [what: string, rules: object[], findings: string[]][] = [
  ['all before it', [{ ...drop }, { ...allow, ...tcp(80) }], ['p/r1 unreachable: p/r0']],
  [
    'a wider network',
    [
      { ...drop, from: net('10.0.0.0/8') },
      { ...allow, from: net('10.1.0.0/16') },
    ],
    ['p/r1 unreachable: p/r0'],
  ],
  [
    'one address more',
    [
      { ...drop, from: net('10.0.0.0-10.0.0.9') },
      { ...allow, log: true, from: net('10.0.0.0-10.0.0.10') },
    ],
    [],
  ],
  [
    'two networks together',
    [
      { ...drop, from: net('10.0.0.0/9') },
      { ...drop, from: net('10.128.0.0/9') },
      { ...allow, log: true, from: net('10.0.0.0/8') },
    ],
    ['p/r2 unreachable: p/r0 p/r1'],
  ],
  [
    'both families together',
    [
      { ...drop, from: net('0.0.0.0/0') },
      { ...drop, from: net('::/0') },
      { ...allow, log: true },
    ],
    ['p/r2 unreachable: p/r0 p/r1'],
  ],
  [
    'one family alone',
    [
      { ...drop, from: net('0.0.0.0/0') },
      { ...allow, log: true },
    ],
    [],
  ],
  [
    'ports together',
    [
      { ...drop, ...tcp('1-79') },
      { ...drop, ...tcp('80-90') },
      { ...allow, log: true, ...tcp('70-85') },
    ],
    ['p/r2 unreachable: p/r0 p/r1'],
  ],
  [
    'a port between',
    [
      { ...drop, ...tcp('1-79') },
      { ...drop, ...tcp('81-90') },
      { ...allow, log: true, ...tcp('70-85') },
    ],
    [],
  ],
  [
    'both directions together',
    [
      { ...drop, direction: 'in' },
      { ...drop, direction: 'out' },
      { ...allow, log: true, ...tcp(1) },
    ],
    ['p/r2 unreachable: p/r0 p/r1'],
  ],
  [
    'one direction alone',
    [
      { ...drop, direction: 'in' },
      { ...allow, log: true, ...tcp(1) },
    ],
    [],
  ],
  [
    'some of the workloads',
    [
      { ...drop, ...web },
      { ...allow, log: true, ...tcp(1) },
    ],
    [],
  ],
  ['more workloads', [{ ...drop }, { ...allow, ...web }], ['p/r1 unreachable: p/r0']],
  [
    'observe takes nothing',
    [
      { ...drop, mode: 'observe' },
      { ...allow, log: true },
    ],
    [],
  ],
  ['pass takes what follows in its category', [{ action: 'pass' }, { ...allow }], ['p/r1 unreachable: p/r0']],
  [
    'an ICMP type',
    [
      { ...drop, services: [{ protocol: 'icmp' }] },
      { ...allow, services: [{ protocol: 'icmp', icmpType: 8 }] },
    ],
    ['p/r1 unreachable: p/r0'],
  ],
  [
    'another ICMP type',
    [
      { ...drop, services: [{ protocol: 'icmp', icmpType: 0 }] },
      { ...allow, log: true, services: [{ protocol: 'icmp', icmpType: 8 }] },
    ],
    [],
  ],
  ['the default says the same', [{ ...allow, ...tcp(80) }], ['p/r0 redundant: end']],
  ['the default says another thing', [{ ...drop, ...tcp(80) }], []],
  ['it logs', [{ ...allow, log: true, ...tcp(80) }], []],
  [
    'a later one says the same',
    [
      { ...drop, ...tcp(80) },
      { ...drop, ...tcp('1-100') },
    ],
    ['p/r0 redundant: p/r1'],
  ],
  [
    'one between says another thing',
    [
      { ...drop, ...tcp(80) },
      { ...allow, log: true, ...tcp('80-81') },
      { ...drop, ...tcp('1-100') },
    ],
    [],
  ],
  [
    'one between is another matter',
    [
      { ...drop, ...tcp(80) },
      { ...allow, log: true, ...tcp(81) },
      { ...drop, ...tcp('1-100') },
    ],
    ['p/r0 redundant: p/r2'],
  ],
  [
    'one between only looks',
    [
      { ...drop, ...tcp(80) },
      { ...allow, mode: 'observe', ...tcp('80-81') },
      { ...drop, ...tcp('1-100') },
    ],
    [],
  ],
  [
    'the later one keeps connections',
    [
      { ...drop, ...tcp(80) },
      { ...drop, onChange: 'reset', ...tcp('1-100') },
    ],
    [],
  ],
  [
    'twins are not both removed',
    [
      { ...drop, ...tcp(80) },
      { ...drop, ...tcp(80) },
    ],
    ['p/r1 unreachable: p/r0'],
  ],
];
test.each(cases)('%s', (_what, rules, findings) => expect(inOrder(...rules)).toEqual(findings));

test('an earlier category counts, unless pass may lead around its rule', () => {
  const first = (...rules: object[]) => policy('a', rules, { category: 'emergency' });
  const second = policy('b', [{ ...allow, log: true, ...tcp(80) }]);
  expect(found(first({ ...drop }), second)).toEqual(['b/r0 unreachable: a/r0']);
  expect(found(first({ action: 'pass', log: true, from: net('10.9.9.9') }, { ...drop }), second)).toEqual([]);
  expect(found(first({ action: 'pass', log: true, ...tcp(81) }, { ...drop }), second)).toEqual([
    'b/r0 unreachable: a/r1',
  ]);
});

test('with default drop a last drop is redundant, and so is one before it', () => {
  expect(found(dropHost, policy('p', [{ ...drop, ...tcp(1) }, { ...drop }]))).toEqual([
    'p/r0 redundant: p/r1',
    'p/r1 redundant: end',
  ]);
});

test('a rule that matches nothing is no finding here, and takes nothing', () => {
  const none = make('Group', 'none', {});
  const rules = [
    { ...drop, from: { groups: ['none'] } },
    { ...allow, log: true, from: { groups: ['none'] } },
  ];
  expect(found(none, policy('p', rules))).toEqual([]);
});
