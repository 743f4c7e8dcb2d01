import { describe, expect, test } from 'vitest';
import type { Document, SecurityPolicyDocument } from '../../src/documents/index.js';
import { formatRange } from '../../src/documents/ip.js';
import { compile, entriesOf, rulesOf } from '../../src/policy/index.js';
import type { Desired } from '../../src/policy/index.js';
import { ruleIds } from '../../src/policy/names.js';
import { make, workload } from './document-helpers.js';

const lan = make('Segment', 'lan', {});
const web = workload('web-1', ['10.0.0.11/24'], { tier: 'web' });
const db = workload('db-1', ['10.0.0.31/24'], { tier: 'db' });
const policy = (rules: unknown[], more: object = {}, name = 'p') =>
  make('SecurityPolicy', name, { rules, ...more });
const lowered = (...all: Document[]) => compile([lan, web, db, ...all]);
const onlyRule = (desired: Desired) => {
  const [rule, ...others] = rulesOf(desired).values();
  if (rule === undefined || others.length > 0) throw new Error('not one rule');
  return rule;
};
const rangesOf = (desired: Desired, name = '') =>
  desired.addressSets.get(name)?.addresses.ranges.map(formatRange);

describe('address sets', () => {
  test('a group is a set under its name; what a rule lists itself is a set under a digest', () => {
    const groups = [
      make('Group', 'web', { workloads: { matchLabels: { tier: 'web' } }, addresses: ['10.0.0.12'] }),
    ];
    const { desired } = lowered(
      ...groups,
      policy([{ action: 'allow', from: { groups: ['web'] }, to: { addresses: ['10.0.0.0/24'] } }]),
    );
    expect(rangesOf(desired, 'group:web')).toEqual(['10.0.0.11-10.0.0.12']);
    const rule = onlyRule(desired);
    expect(rule.sources).toEqual(['group:web']);
    expect(rule.destinations).toEqual([expect.stringMatching(/^inline:/)]);
    expect(rangesOf(desired, rule.destinations?.[0])).toEqual(['10.0.0.0/24']);
  });
  test('nothing selected is an empty set, never "any"', () => {
    const empty = [
      make('Group', 'none', {}),
      make('Group', 'nolabel', { workloads: { matchLabels: { a: 'b' } } }),
    ];
    for (const from of [
      { groups: ['none'] },
      { groups: ['nolabel'] },
      { groups: [] },
      { addresses: [] },
      { workloads: { names: [] } },
    ]) {
      const { desired } = lowered(...empty, policy([{ action: 'allow', from }]));
      const rule = onlyRule(desired);
      expect(rule.sources).toHaveLength(1);
      expect(rangesOf(desired, rule.sources?.[0])).toEqual([]);
    }
  });
  test('no from means any', () => {
    expect(onlyRule(lowered(policy([{ action: 'allow' }])).desired)).not.toHaveProperty('sources');
  });
  test('groups that no rule uses are not sent', () => {
    expect(lowered(make('Group', 'unused', { addresses: ['10.0.0.1'] })).desired.addressSets.size).toBe(0);
  });
});

describe('index entries', () => {
  /** The ids of a workload's index table, in the order of judging. */
  const table = (desired: Desired, name: string, direction: 'in' | 'out') =>
    [...entriesOf(desired).values()]
      .filter((entry) => entry.direction === direction || entry.direction === 'both')
      .filter(({ scope }) => desired.scopes.get(scope)?.workloads.has(name))
      .sort((a, b) => a.category - b.category || a.order - b.order)
      .map(({ id, category }) => `${category} ${id}`);
  test('direction, category, and appliedTo of policy and rule', () => {
    const { desired } = lowered(
      policy(
        [
          { name: 'a', action: 'allow', direction: 'in', log: true },
          {
            name: 'b',
            action: 'drop',
            direction: 'out',
            appliedTo: { workloads: { names: ['web-1'] } },
          },
          { name: 'c', action: 'reject', appliedTo: { workloads: { names: ['db-1'] } } },
        ],
        { category: 'emergency', appliedTo: { workloads: { matchLabels: { tier: 'web' } } } },
      ),
      policy([{ name: 'd', action: 'drop' }], {}, 'q'),
    );
    expect(table(desired, 'web-1', 'in')).toEqual(['0 p/a', '3 q/d']);
    expect(table(desired, 'web-1', 'out')).toEqual(['0 p/b', '3 q/d']);
    expect(table(desired, 'db-1', 'in')).toEqual(['3 q/d']);
    expect(table(desired, 'db-1', 'out')).toEqual(['3 q/d']);
  });
  test('priority, then name, then the order of rules', () => {
    const rule = (port: number) => ({
      name: `r${port}`,
      action: 'allow',
      services: [{ protocol: 'tcp', ports: [port] }],
    });
    const { desired, report } = lowered(
      policy([rule(1)], { priority: 20 }, 'a'),
      policy([rule(2), rule(3)], { priority: 10 }, 'c'),
      policy([rule(4)], { priority: 10 }, 'b'),
      policy([rule(5)], {}, 'z'),
    );
    const ids = ['3 b/r4', '3 c/r2', '3 c/r3', '3 a/r1', '3 z/r5'];
    expect(table(desired, 'web-1', 'in')).toEqual(ids);
    expect(report.rule('b/r4')).toEqual({
      id: 'b/r4',
      file: 'b.yaml',
      line: 1,
      action: 'allow',
      mode: 'enforce',
    });
    expect([report.rule('b/r5'), report.rule('x/r4'), report.rule('b')]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
  test('rules with the same content share one; each is an entry of its own', () => {
    const only = (name: string) => ({ appliedTo: { workloads: { names: [name] } } });
    const { desired } = lowered(
      policy(
        [
          { name: 'x', action: 'drop' },
          { name: 'again', action: 'drop' },
        ],
        only('web-1'),
        'a',
      ),
      policy([{ name: 'y', action: 'drop' }], only('db-1'), 'b'),
    );
    const { key } = onlyRule(desired);
    expect([...entriesOf(desired).values()].map(({ rule }) => rule)).toEqual([key, key, key]);
    expect(table(desired, 'web-1', 'in')).toEqual(['3 a/x', '3 a/again']);
    expect(table(desired, 'db-1', 'out')).toEqual(['3 b/y']);
  });
  test('a scope keeps its name when workloads come and go', () => {
    const rules = policy([{ action: 'drop', appliedTo: { workloads: { matchLabels: { tier: 'web' } } } }]);
    const [scope] = lowered(rules).desired.scopes;
    const more = lowered(rules, workload('web-2', ['10.0.0.12/24'], { tier: 'web' })).desired.scopes;
    expect([...(scope?.[1].workloads ?? [])]).toEqual(['web-1']);
    expect([...(more.get(scope?.[0] ?? '')?.workloads ?? [])]).toEqual(['web-1', 'web-2']);
  });
  test('ids are unique: equal unnamed rules are told apart, and a name that looks like a digest wins', () => {
    const ids = (rules: unknown[]) => ruleIds(policy(rules) as SecurityPolicyDocument);
    const unnamed = { action: 'drop' };
    const [first = '', ...rest] = ids([unnamed, unnamed, unnamed, { action: 'allow' }]);
    expect(rest.slice(0, 2)).toEqual([`${first}-2`, `${first}-3`]);
    const taken = { name: first.slice(2), action: 'allow' };
    expect(ids([unnamed, taken])).toEqual([`${first}-2`, first]);
  });
  test('unnamed rules have ids of their content that survive reordering', () => {
    const ids = (rules: unknown[]) => table(lowered(policy(rules)).desired, 'web-1', 'in');
    const [one, two] = [
      { action: 'drop', log: true },
      { action: 'allow', log: true },
    ];
    const forward = ids([one, two]);
    expect(forward.every((id) => /^3 p\/[0-9a-f]{6}$/.test(id))).toBe(true);
    expect(ids([two, one])).toEqual(forward.reverse());
  });
});

describe("rules, segments and workloads in the engine's terms", () => {
  test('services by name and inline, modes and defaults', () => {
    const service = make('Service', 'web', {
      entries: [
        { protocol: 'tcp', ports: [80, '8000-8100'] },
        { protocol: 'icmp', icmpType: 8, icmpCode: 0 },
      ],
    });
    const rules = [{ action: 'allow', services: ['web', { protocol: 17, sourcePorts: ['53'] }] }];
    const rule = onlyRule(lowered(service, policy(rules, { mode: 'observe' })).desired);
    expect(rule).toMatchObject({ action: 'allow', mode: 'observe', log: false, onChange: 'reevaluate' });
    expect(rule.services).toEqual(['6/80,8000-8100', '1/8/0', '17//53']);
    const [mixed] = [
      ...rulesOf(
        lowered(
          policy([{ action: 'allow', mode: 'enforce', onChange: 'reset', log: true }], { mode: 'observe' }),
        ).desired,
      ).values(),
    ];
    expect(mixed).toMatchObject({ mode: 'enforce', onChange: 'reset', log: true });
  });
  test('a workload with a TAP', () => {
    const attach = {
      tap: {
        netns: 'n',
        name: 'eth0',
        mac: '02:00:00:00:00:AA',
        addresses: ['10.0.0.2/24', 'fd00::2/64'],
        gateway: '10.0.0.1',
        mtu: 1400,
      },
    };
    const { desired } = compile([
      make('Segment', 'lan', { vlan: 5, tracker: 'shared' }),
      make('Workload', 'w', { segment: 'lan', attach }),
    ]);
    expect(desired.workloads.get('w')).toMatchObject({
      segment: 'lan',
      mac: '02:00:00:00:00:aa',
      addresses: ['10.0.0.2', 'fd00::2', 'fe80::ff:fe00:aa'],
      attach: {
        kind: 'tap',
        netns: 'n',
        device: 'eth0',
        mac: '02:00:00:00:00:aa',
        addresses: ['10.0.0.2/24', 'fd00::2/64'],
        gateways: ['10.0.0.1'],
        mtu: 1400,
      },
    });
    expect(desired.segments.get('lan')).toMatchObject({ vlan: 5, tracker: 'shared' });
  });
  test('a workload on an interface may use any MAC and address unless it says so', () => {
    const { desired } = compile([
      lan,
      make('Workload', 'w', { segment: 'lan', attach: { veth: { interface: 'v0' } } }),
    ]);
    expect(desired.workloads.get('w')).toEqual({
      name: 'w',
      digest: expect.any(String) as string,
      segment: 'lan',
      attach: { kind: 'veth', device: 'v0' },
    });
    expect(desired.segments.get('lan')).toMatchObject({ tracker: 'lan' });
  });
  test('the Host sets default and timeouts; without one all is allowed', () => {
    expect(lowered().desired).toMatchObject({ defaultAction: 'allow', timeouts: {} });
    expect(lowered(make('Host', 'h', {})).desired.defaultAction).toBe('allow');
    const { desired, report } = lowered(make('Host', 'h', { default: 'drop', timeouts: { icmp: 5 } }));
    expect(desired).toMatchObject({ defaultAction: 'drop', timeouts: { icmp: 5 } });
    expect(report.host).toEqual({ file: 'h.yaml', line: 1 });
  });
});
