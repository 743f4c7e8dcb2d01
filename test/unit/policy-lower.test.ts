import { describe, expect, test } from 'vitest';
import type { Document, SecurityPolicyDocument } from '../../src/documents/index.js';
import { deltaSchema } from '../../src/engine/messages.js';
import { compile, diff, inventoryOf, isEmpty } from '../../src/policy/index.js';
import type { Desired } from '../../src/policy/index.js';
import { ruleIds } from '../../src/policy/names.js';
import { documents, make, workload, yaml } from './document-helpers.js';

const lan = make('Segment', 'lan', {});
const web = workload('web-1', ['10.0.0.11/24'], { tier: 'web' });
const db = workload('db-1', ['10.0.0.31/24'], { tier: 'db' });
const policy = (rules: unknown[], more: object = {}, name = 'p') =>
  make('SecurityPolicy', name, { rules, ...more });
const lowered = (...all: Document[]) => compile([lan, web, db, ...all]);
const onlyRule = (desired: Desired) => {
  expect(desired.rules.size).toBe(1);
  return [...desired.rules.values()][0];
};

describe('address sets', () => {
  test('a group is a set under its name; what a rule lists itself is a set under a digest', () => {
    const groups = [
      make('Group', 'web', { workloads: { matchLabels: { tier: 'web' } }, addresses: ['10.0.0.12'] }),
    ];
    const { desired } = lowered(
      ...groups,
      policy([{ action: 'allow', from: { groups: ['web'] }, to: { addresses: ['10.0.0.0/24'] } }]),
    );
    expect(desired.addressSets.get('group:web')?.ranges).toEqual(['10.0.0.11-10.0.0.12']);
    const rule = onlyRule(desired);
    expect(rule?.sources).toEqual(['group:web']);
    expect(rule?.destinations).toEqual([expect.stringMatching(/^inline:/)]);
    expect(desired.addressSets.get(rule?.destinations?.[0] ?? '')?.ranges).toEqual(['10.0.0.0/24']);
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
      expect(rule?.sources).toHaveLength(1);
      expect(desired.addressSets.get(rule?.sources?.[0] ?? '')?.ranges).toEqual([]);
    }
  });
  test('no from means any', () => {
    expect(onlyRule(lowered(policy([{ action: 'allow' }])).desired)).not.toHaveProperty('sources');
  });
  test('a workload that joins changes the set and no rule', () => {
    const rules = policy([{ action: 'allow', from: { workloads: { matchLabels: { tier: 'web' } } } }]);
    const before = lowered(rules).desired;
    const after = compile([
      lan,
      web,
      db,
      rules,
      workload('web-2', ['10.0.0.12/24'], { tier: 'web' }),
    ]).desired;
    expect([...after.rules.keys()]).toEqual([...before.rules.keys()]);
    const delta = diff(inventoryOf(before), after);
    expect(delta.setAddressSets?.map(({ ranges }) => ranges)).toEqual([['10.0.0.11-10.0.0.12']]);
    expect(delta.setWorkloads?.map(({ name }) => name)).toEqual(['web-2']);
    expect(delta.setIndexes?.map((index) => index.workload)).toEqual(['web-2']);
    expect(Object.keys(delta).sort()).toEqual(['setAddressSets', 'setIndexes', 'setWorkloads']);
  });
  test('groups that no rule uses are not sent', () => {
    expect(lowered(make('Group', 'unused', { addresses: ['10.0.0.1'] })).desired.addressSets.size).toBe(0);
  });
});

describe('index tables', () => {
  const keys = (desired: Desired, name: string) => {
    const index = desired.indexes.get(name);
    return { in: index?.in.map((list) => list.length), out: index?.out.map((list) => list.length) };
  };
  test('direction, category, and appliedTo of policy and rule', () => {
    const { desired } = lowered(
      policy(
        [
          { action: 'allow', direction: 'in', log: true },
          { action: 'drop', direction: 'out', appliedTo: { workloads: { names: ['web-1'] } } },
          { action: 'reject', appliedTo: { workloads: { names: ['db-1'] } } },
        ],
        { category: 'emergency', appliedTo: { workloads: { matchLabels: { tier: 'web' } } } },
      ),
      policy([{ action: 'drop' }], {}, 'q'),
    );
    expect(keys(desired, 'web-1')).toEqual({ in: [1, 0, 0, 1], out: [1, 0, 0, 1] });
    expect(keys(desired, 'db-1')).toEqual({ in: [0, 0, 0, 1], out: [0, 0, 0, 1] });
  });
  test('priority, then name, then the order of rules', () => {
    const rule = (port: number) => ({ action: 'allow', services: [{ protocol: 'tcp', ports: [port] }] });
    const { desired, report } = lowered(
      policy([rule(1)], { priority: 20 }, 'a'),
      policy([rule(2), rule(3)], { priority: 10 }, 'c'),
      policy([rule(4)], { priority: 10 }, 'b'),
      policy([rule(5)], {}, 'z'),
    );
    const ports = desired.indexes
      .get('web-1')
      ?.in[3]?.map((key) => desired.rules.get(key)?.services?.[0]?.ports?.[0]?.[0]);
    expect(ports).toEqual([4, 2, 3, 1, 5]);
    const [first = ''] = desired.indexes.get('web-1')?.in[3] ?? [];
    expect(report.rule('web-1', 'in', first)).toMatchObject({
      file: 'b.yaml',
      line: 1,
      action: 'allow',
      mode: 'enforce',
    });
  });
  test('rules with the same content share one; each workload reports its own', () => {
    const only = (name: string) => ({ appliedTo: { workloads: { names: [name] } } });
    const { desired, report } = lowered(
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
    const key = onlyRule(desired)?.key ?? '';
    expect(desired.indexes.get('web-1')?.in[3]).toEqual([key]);
    expect(report.rule('web-1', 'in', key)?.id).toBe('a/x');
    expect(report.rule('db-1', 'out', key)?.id).toBe('b/y');
    expect(report.rule('nobody', 'out', key)).toBeUndefined();
    expect(report.anyRule(key)?.id).toBe('a/x');
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
    const ids = (rules: unknown[]) => {
      const { desired, report } = lowered(policy(rules));
      return desired.indexes.get('web-1')?.in[3]?.map((key) => report.anyRule(key)?.id);
    };
    const [one, two] = [
      { action: 'drop', log: true },
      { action: 'allow', log: true },
    ];
    const forward = ids([one, two]);
    expect(forward?.every((id) => /^p\/[0-9a-f]{6}$/.test(id ?? ''))).toBe(true);
    expect(ids([two, one])).toEqual(forward?.reverse());
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
    expect(rule?.services).toEqual([
      {
        protocol: 6,
        ports: [
          [80, 80],
          [8000, 8100],
        ],
      },
      { protocol: 1, icmpType: 8, icmpCode: 0 },
      { protocol: 17, sourcePorts: [[53, 53]] },
    ]);
    const [mixed] = [
      ...lowered(
        policy([{ action: 'allow', mode: 'enforce', onChange: 'reset', log: true }], { mode: 'observe' }),
      ).desired.rules.values(),
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

describe('publish', () => {
  const nothing = { generation: 0, addressSets: {}, rules: [], segments: {}, workloads: {}, indexes: {} };
  const all = documents(
    yaml('Host', 'h', 'default: drop\ntimeouts: {icmp: 5}'),
    yaml('Group', 'g', 'addresses: [10.0.0.0/8]'),
    yaml('SecurityPolicy', 'p', 'rules: [{name: a, action: allow, from: {groups: [g]}}]'),
  );
  test('an empty engine gets all; the engine accepts the message', () => {
    const delta = diff(nothing, lowered(...all).desired);
    expect(deltaSchema.parse(delta)).toEqual(delta);
    expect(delta).toMatchObject({ defaultAction: 'drop', timeouts: { icmp: 5 } });
    expect(
      [delta.setAddressSets, delta.setRules, delta.setSegments, delta.setWorkloads, delta.setIndexes].map(
        (list) => list?.length,
      ),
    ).toEqual([1, 1, 1, 2, 2]);
  });
  test('an engine without a default gets it, even when there is nothing else', () => {
    expect(diff(nothing, compile([]).desired)).toEqual({ defaultAction: 'allow' });
  });
  test('nothing to do is an empty delta', () => {
    const { desired } = lowered(...all);
    expect(isEmpty(diff(inventoryOf(desired), desired, desired.timeouts))).toBe(true);
    expect(diff(inventoryOf(desired), desired)).toEqual({ timeouts: { icmp: 5 } });
  });
  test('what is gone is removed', () => {
    const { desired } = lowered(...all);
    const delta = diff(inventoryOf(desired), compile([]).desired, desired.timeouts);
    expect(delta).toEqual({
      defaultAction: 'allow',
      timeouts: {},
      removeAddressSets: ['group:g'],
      removeRules: [...desired.rules.keys()],
      removeSegments: ['lan'],
      removeWorkloads: ['db-1', 'web-1'],
    });
  });
});

test('1,000 workloads and 10,000 rules are lowered in seconds', () => {
  const workloads = Array.from({ length: 1000 }, (_, i) =>
    workload(`w${i}`, [`10.${i >> 8}.${i & 255}.1/8`], { tier: `t${i % 50}` }),
  );
  const policies = Array.from({ length: 50 }, (_, t) =>
    policy(
      Array.from({ length: 200 }, (_, i) => ({
        name: `r${i}`,
        action: 'allow',
        from: { workloads: { matchLabels: { tier: `t${(t + i) % 50}` } } },
        services: [{ protocol: 'tcp', ports: [i + 1] }],
        appliedTo: { workloads: { matchLabels: { tier: `t${i % 50}` } } },
      })),
      {},
      `p${t}`,
    ),
  );
  // Processor time: a busy machine makes it no longer.
  const start = process.cpuUsage();
  const { desired } = compile([lan, ...workloads, ...policies]);
  const { user, system } = process.cpuUsage(start);
  expect(desired.rules.size).toBe(10_000);
  expect(desired.indexes.get('w7')?.in[3]).toHaveLength(200);
  expect((user + system) / 1e6).toBeLessThan(3);
});
