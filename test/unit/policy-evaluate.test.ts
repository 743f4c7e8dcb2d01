import { describe, expect, test } from 'vitest';
import type { Document } from '../../src/documents/index.js';
import { evaluate, evaluateFlow } from '../../src/policy/index.js';
import { documents, make, workload, yaml } from './document-helpers.js';

const base = documents(
  yaml('Segment', 'lan', '{}'),
  yaml('Group', 'web', 'workloads: {matchLabels: {tier: web}}'),
  yaml('Service', 'http', 'entries: [{protocol: tcp, ports: [80]}]'),
);
const world = (...more: Document[]) => [
  ...base,
  workload('web-1', ['10.0.0.11/24', 'fd00::11/64'], { tier: 'web' }),
  workload('db-1', ['10.0.0.31/24', 'fd00::31/64'], { tier: 'db' }),
  ...more,
];
const host = make('Host', 'h', { default: 'drop' });
const policy = (rules: string, spec = '', name = 'p') =>
  documents(yaml('SecurityPolicy', name, `${spec}rules:\n${rules}`))[0] as Document;
const toDb = {
  protocol: 6,
  source: '10.0.0.11',
  destination: '10.0.0.31',
  sourcePort: 40_000,
  destinationPort: 80,
};

describe('the deciding rule', () => {
  test('is the first that matches, with file and line', () => {
    const rules = policy(
      '- {name: no, action: drop, services: [{protocol: udp}]}\n- {name: yes, action: allow, services: [http]}\n- {action: drop}',
    );
    expect(evaluate(world(rules), 'db-1', 'in', toDb)).toEqual({
      workload: 'db-1',
      direction: 'in',
      action: 'allow',
      rule: { id: 'p/yes', file: 'f1.yaml', line: 7, action: 'allow', mode: 'enforce' },
      passed: [],
      observed: [],
    });
  });
  test('categories come before priorities, priorities before names', () => {
    const deciding = (...policies: Document[]) => evaluate(world(...policies), 'db-1', 'in', toDb).rule?.id;
    const rule = '- {name: r, action: drop}';
    const first = policy(rule, 'category: emergency\npriority: 9\n', 'z');
    const second = policy(rule, 'priority: 5\n', 'y');
    const third = policy(rule, 'priority: 7\n', 'a');
    const fourth = policy(rule, 'priority: 7\n', 'b');
    expect(deciding(fourth, third, second, first)).toBe('z/r');
    expect(deciding(fourth, third, second)).toBe('y/r');
    expect(deciding(fourth, third)).toBe('a/r');
  });
  test('pass goes to the next category, observe goes on', () => {
    const passing = policy(
      '- {name: go, action: pass}\n- {name: never, action: drop}',
      'category: environment\n',
      'e',
    );
    const rest = policy(
      '- {name: look, action: reject, mode: observe}\n- {name: end, action: reject}',
      '',
      'a',
    );
    const decision = evaluate(world(passing, rest), 'db-1', 'in', toDb);
    expect(decision).toMatchObject({ action: 'reject', rule: { id: 'a/end' } });
    expect(decision.passed.map(({ id }) => id)).toEqual(['e/go']);
    expect(decision.observed.map(({ id }) => id)).toEqual(['a/look']);
  });
  test('an empty group matches nothing', () => {
    const none = make('Group', 'none', {});
    expect(
      evaluate(world(none, policy('- {action: drop, from: {groups: [none]}}')), 'db-1', 'in', toDb).action,
    ).toBe('allow');
  });
});

describe('what is excluded', () => {
  const db2 = workload('db-2', ['10.0.0.32/24'], { tier: 'db', legacy: 'yes' });
  const group = (name: string, spec: object) => make('Group', name, spec);
  const drops = (from: object, source: string, ...more: Document[]) =>
    evaluate(
      world(db2, ...more, make('SecurityPolicy', 'p', { rules: [{ action: 'drop', from }] })),
      'web-1',
      'in',
      { ...toDb, source, destination: '10.0.0.11' },
    ).action === 'drop';
  const legacy = { matchExpressions: [{ key: 'legacy', operator: 'Exists' }] };
  test('in from and to are addresses', () => {
    const from = { workloads: { matchLabels: { tier: 'db' } }, except: { workloads: legacy } };
    expect([drops(from, '10.0.0.31'), drops(from, '10.0.0.32')]).toEqual([true, false]);
    const network = { addresses: ['10.0.0.0/24'], except: { addresses: ['10.0.0.8-10.0.0.31'] } };
    expect(['10.0.0.7', '10.0.0.8', '10.0.0.31', '10.0.0.32'].map((one) => drops(network, one))).toEqual([
      ...[true, false, false, true],
    ]);
    const byAddress = { workloads: {}, except: { addresses: ['10.0.0.32'] } };
    expect([drops(byAddress, '10.0.0.31'), drops(byAddress, '10.0.0.32')]).toEqual([true, false]);
  });
  test('is excluded of all parts of a selection, but not of other groups', () => {
    const inner = group('inner', { workloads: {}, except: { workloads: legacy } });
    const outer = group('outer', { groups: ['inner'], addresses: ['10.0.0.32'] });
    expect([
      drops({ groups: ['inner'] }, '10.0.0.32', inner),
      drops({ groups: ['inner'] }, '10.0.0.31', inner),
    ]).toEqual([...[false, true]]);
    expect(drops({ groups: ['outer'] }, '10.0.0.32', inner, outer)).toBe(true);
    const except = { groups: ['outer'], addresses: ['10.0.0.0/8'], except: { addresses: ['10.0.0.32'] } };
    expect(drops(except, '10.0.0.32', inner, outer)).toBe(false);
    const exceptGroup = { addresses: ['10.0.0.0/8'], except: { groups: ['inner'] } };
    expect([drops(exceptGroup, '10.0.0.31', inner), drops(exceptGroup, '10.0.0.32', inner)]).toEqual([
      false,
      true,
    ]);
  });
  test('in appliedTo are workloads', () => {
    const applied = (appliedTo: object, at: string, ...more: Document[]) =>
      evaluate(
        world(db2, ...more, make('SecurityPolicy', 'p', { appliedTo, rules: [{ action: 'drop' }] })),
        at,
        'in',
        toDb,
      ).action === 'drop';
    const but = { workloads: { matchLabels: { tier: 'db' } }, except: { workloads: legacy } };
    expect(['web-1', 'db-1', 'db-2'].map((one) => applied(but, one))).toEqual([false, true, false]);
    const young = group('young', { workloads: {}, except: { workloads: legacy } });
    expect([
      applied({ groups: ['young'] }, 'db-2', young),
      applied({ groups: ['young'] }, 'db-1', young),
    ]).toEqual([...[false, true]]);
    expect(applied({ workloads: {}, except: { groups: ['young'] } }, 'db-2', young)).toBe(true);
  });
});

describe('services', () => {
  const service = make('Service', 'named', {
    entries: [
      { protocol: 'tcp', ports: [80, '8000-8100'], sourcePorts: ['1024-65535'] },
      { protocol: 'icmp', icmpType: 3, icmpCode: 4 },
      { protocol: 'icmp', icmpType: 8 },
      { protocol: 'icmpv6', icmpType: 128 },
      { protocol: 'sctp', ports: ['2905'] },
      { protocol: 47 },
    ],
  });
  const drops = (packet: object) =>
    evaluate(world(service, policy('- {action: drop, services: [named]}')), 'db-1', 'in', {
      ...toDb,
      sourcePort: undefined,
      destinationPort: undefined,
      ...packet,
    }).action === 'drop';
  const cases: [what: string, packet: object, dropped: boolean][] = [
    ['a port', { protocol: 6, sourcePort: 1024, destinationPort: 80 }, true],
    ['the first port of a range', { protocol: 6, sourcePort: 1024, destinationPort: 8000 }, true],
    ['the last port of a range', { protocol: 6, sourcePort: 65535, destinationPort: 8100 }, true],
    ['a port behind a range', { protocol: 6, sourcePort: 1024, destinationPort: 8101 }, false],
    ['a port before a range', { protocol: 6, sourcePort: 1024, destinationPort: 7999 }, false],
    ['another source port', { protocol: 6, sourcePort: 1023, destinationPort: 80 }, false],
    ['another protocol', { protocol: 17, sourcePort: 1024, destinationPort: 80 }, false],
    ['an ICMP type and code', { protocol: 1, icmpType: 3, icmpCode: 4 }, true],
    ['another code', { protocol: 1, icmpType: 3, icmpCode: 1 }, false],
    ['a type with any code', { protocol: 1, icmpType: 8, icmpCode: 7 }, true],
    ['the type of the other family', { protocol: 1, icmpType: 128 }, false],
    ['ICMPv6', { protocol: 58, icmpType: 128 }, true],
    ['another ICMPv6 type', { protocol: 58, icmpType: 129 }, false],
    ['SCTP', { protocol: 132, sourcePort: 1, destinationPort: 2905 }, true],
    ['a protocol by number', { protocol: 47 }, true],
    ['another number', { protocol: 50 }, false],
  ];
  test.each(cases)('%s', (_what, packet, dropped) => expect(drops(packet)).toBe(dropped));
});

describe('the default', () => {
  test('is allow without a Host, and names the section with one', () => {
    expect(evaluate(world(), 'db-1', 'in', toDb)).toMatchObject({
      action: 'allow',
      section: { text: 'no Host document: allow' },
    });
    const decision = evaluate(world(host), 'db-1', 'in', toDb);
    expect(decision).toMatchObject({
      action: 'drop',
      section: { text: 'Host/h spec.default', file: 'h.yaml', line: 1 },
    });
    expect(decision).not.toHaveProperty('nearestMiss');
    expect(evaluate(world(make('Host', 'h', {})), 'db-1', 'in', toDb).section?.text).toBe(
      'Host/h spec.default (not set: allow)',
    );
  });
  const far = '- {name: far, action: allow, from: {addresses: [10.9.9.9]}, services: [{protocol: udp}]}\n';
  test.each([
    ['to', '{name: near, action: allow, to: {addresses: [10.0.0.32]}}', 'to does not hold 10.0.0.31'],
    ['from', '{name: near, action: allow, from: {addresses: [10.0.0.32]}}', 'from does not hold 10.0.0.11'],
    [
      'services',
      '{name: near, action: allow, services: [{protocol: tcp, ports: [443]}]}',
      'services (tcp 443) do not hold tcp 80',
    ],
    [
      'to',
      '{name: near, action: allow, to: {addresses: [10.0.0.0/24], except: {addresses: [10.0.0.31]}}}',
      'to holds 10.0.0.31, but its except takes it out',
    ],
    ['direction', '{name: near, action: allow, direction: out}', 'it is for direction out, this is in'],
    ['appliedTo', '{name: near, action: allow, appliedTo: {groups: [web]}}', 'it does not apply to db-1'],
    [
      'mode',
      '{name: near, action: allow, mode: observe}',
      'it would allow it, but is in observe mode: counted and logged, not enforced',
    ],
  ])('the nearest miss fails in %s alone', (field, rule, reason) => {
    const { nearestMiss } = evaluate(
      world(host, policy(`${far}- ${rule}\n${far.replaceAll('far', 'far2')}`)),
      'db-1',
      'in',
      toDb,
    );
    expect(nearestMiss).toMatchObject({ field, reason, rule: { id: 'p/near', line: 7 } });
  });
  test('another port is nearer than another protocol; a rule that would change the outcome is preferred', () => {
    const rules = policy(
      '- {name: a, action: allow, services: [{protocol: udp}]}\n- {name: b, action: drop, services: [{protocol: tcp, ports: [1]}]}\n- {name: c, action: allow, services: [{protocol: tcp, ports: [2]}]}',
    );
    expect(evaluate(world(host, rules), 'db-1', 'in', toDb).nearestMiss?.rule.id).toBe('p/c');
  });
  test('a rule behind a pass is named with what passed', () => {
    const rules = policy('- {name: go, action: pass}\n- {name: behind, action: allow}');
    expect(evaluate(world(host, rules), 'db-1', 'in', toDb).nearestMiss).toMatchObject({
      field: 'pass',
      rule: { id: 'p/behind' },
      reason: 'it matches, but p/go passes on to the next category',
    });
  });
});

describe('where a rule denies, the nearest allow', () => {
  const nearest = (rules: string) => evaluate(world(host, policy(rules)), 'db-1', 'in', toDb).nearestMiss;
  const stop = '- {name: stop, action: drop}\n';
  test.each([
    ['stands behind it', 'shadowed', `${stop}- {name: near, action: allow}`, 'stands behind p/stop'],
    ['only observes', 'mode', `- {name: near, action: allow, mode: observe}\n${stop}`, 'it would allow it'],
    [
      'is for another port',
      'services',
      `- {name: near, action: allow, services: [{protocol: tcp, ports: [443]}]}\n${stop}`,
      'do not hold tcp 80',
    ],
  ])('%s', (_what, field, rules, reason) => {
    expect(nearest(rules)).toMatchObject({
      field,
      rule: { id: 'p/near' },
      reason: expect.stringContaining(reason),
    });
  });
  test('is none where all others are about something else, or deny too', () => {
    expect(nearest(`${stop}- {name: more, action: drop}`)).toBeUndefined();
    expect(nearest(`${stop}- {name: far, action: allow, services: [{protocol: udp}]}`)).toBeUndefined();
  });
  test('does not change the verdict', () => {
    const decision = evaluate(
      world(host, policy(`${stop}- {name: late, action: allow}`)),
      'db-1',
      'in',
      toDb,
    );
    expect(decision).toMatchObject({ action: 'drop', rule: { id: 'p/stop' } });
    expect(decision).not.toHaveProperty('section');
  });
});

describe('a flow from end to end', () => {
  const question = { from: 'web-1', to: 'db-1', protocol: 6, destinationPort: 80 };
  test('is judged where it leaves and where it arrives', () => {
    const answer = evaluateFlow(
      world(
        policy('- {name: out, direction: out, action: allow}\n- {name: in, direction: in, action: reject}'),
      ),
      question,
    );
    expect(answer.packet).toMatchObject({ source: '10.0.0.11', destination: '10.0.0.31' });
    expect(answer.decisions.map(({ workload, direction, rule }) => [workload, direction, rule?.id])).toEqual([
      ['web-1', 'out', 'p/out'],
      ['db-1', 'in', 'p/in'],
    ]);
    expect(answer.action).toBe('reject');
  });
  test('addresses are those of a family that both have', () => {
    const source = (more: object) => evaluateFlow(world(), { ...question, ...more }).packet.source;
    expect(source({ family: 6 })).toBe('fd00::11');
    expect(source({ protocol: 58, icmpType: 128 })).toBe('fd00::11');
    expect(source({ to: 'fd00::31' })).toBe('fd00::11');
    expect(source({ fromAddress: '10.0.0.99' })).toBe('10.0.0.99');
  });
  test('an address that a workload uses is that workload; any other is judged at one end', () => {
    const names = (more: object) =>
      evaluateFlow(world(), { ...question, ...more }).decisions.map(({ workload }) => workload);
    expect(names({ to: '10.0.0.31' })).toEqual(['web-1', 'db-1']);
    expect(names({ to: '192.0.2.1' })).toEqual(['web-1']);
    expect(names({ from: '192.0.2.1' })).toEqual(['db-1']);
  });
  test('what is not a matter of rules is said', () => {
    const far = make('Workload', 'far', {
      segment: 'other',
      attach: { veth: { interface: 'v' } },
      addresses: ['10.0.9.1'],
    });
    const notes = (more: object) =>
      evaluateFlow(world(far, make('Segment', 'other', {})), { ...question, ...more }).notes.join();
    expect(notes({ to: 'far' })).toContain('frames need a router between them');
    expect(notes({ to: 'web-1' })).toContain('same workload');
    expect(notes({ protocol: 58, icmpType: 135 })).toContain('spoofguard');
  });
  test.each([
    [{ from: 'wbe-1' }, 'there is no workload "wbe-1": did you mean "web-1"?'],
    [{ from: '192.0.2.1', to: '192.0.2.2' }, 'belongs to a workload'],
    [{ to: 'blank' }, 'workload "blank" has no addresses in its document'],
    [{ to: '2001:db8::1', family: 4 as const }, 'do not both have IPv4 addresses'],
    [{ fromAddress: 'x' }, '"x" is not an address'],
  ])('a wrong question is answered with how to mend it: %o', (more, message) => {
    const blank = make('Workload', 'blank', { segment: 'lan', attach: { veth: { interface: 'v' } } });
    expect(() => evaluateFlow(world(blank), { ...question, ...more })).toThrow(message);
  });
});
