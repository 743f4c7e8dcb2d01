import { describe, expect, test } from 'vitest';
import { formatError } from '../../src/documents/index.js';
import type { Document } from '../../src/documents/index.js';
import { check } from '../../src/policy/index.js';
import { documents, make, workload, yaml } from './document-helpers.js';

const lan = make('Segment', 'lan', {});
const errors = (...all: Document[]) => check(all).errors.map(formatError);
const warnings = (...all: Document[]) => {
  const checked = check(all);
  expect(checked.errors.map(formatError)).toEqual([]);
  return checked.warnings.map(formatError);
};
const group = (name: string, groups: string[]) => make('Group', name, { groups });
const nic = (name: string, device: string, segment: string) =>
  make('Workload', name, { segment, attach: { nic: { interface: device } } });

describe('references', () => {
  test('a missing segment, with the nearest', () => {
    const one = make('Workload', 'w', { segment: 'lam', attach: { veth: { interface: 'v' } } });
    expect(errors(lan, one)).toEqual([
      'w.yaml:1:1: spec.segment: there is no Segment "lam": did you mean "lan"?',
    ]);
  });
  test('missing groups, services and workloads of a policy, at the line of the rule', () => {
    const text = yaml(
      'SecurityPolicy',
      'p',
      'appliedTo: {groups: [wbe]}\nrules:\n- action: allow\n  from: {groups: [web, dbs]}\n  services: [htpp]\n- action: drop\n  to: {workloads: {names: [web-2]}}\n  appliedTo: {groups: [nothing-like-it]}',
    );
    const all = documents(
      text,
      yaml('Group', 'web', '{}'),
      yaml('Service', 'http', 'entries: [{protocol: tcp}]'),
    );
    expect(errors(...all, lan, workload('web-1', []))).toEqual([
      'f1.yaml:1:1: spec.appliedTo.groups[0]: there is no Group "wbe": did you mean "web"?',
      'f1.yaml:7:1: spec.rules[0].from.groups[1]: there is no Group "dbs": known: web',
      'f1.yaml:7:1: spec.rules[0].services[0]: there is no Service "htpp": did you mean "http"?',
      'f1.yaml:10:1: spec.rules[1].to.workloads.names[0]: there is no Workload "web-2": did you mean "web-1"?',
      'f1.yaml:10:1: spec.rules[1].appliedTo.groups[0]: there is no Group "nothing-like-it": known: web',
    ]);
  });
  test('a helper of services that it does not read', () => {
    const text = (rules: string) => yaml('SecurityPolicy', 'p', `rules:\n${rules}`);
    const named = (protocol: string) =>
      yaml('Service', 'files', `entries: [{protocol: ${protocol}, ports: [21]}]`);
    const ftp = '- {action: allow, helper: ftp, services: [files]}';
    expect(errors(...documents(text(ftp), named('tcp')))).toEqual([]);
    const says = (helper: string, protocol: string, port: number) =>
      `f1.yaml:6:1: spec.rules[0].helper: the helper ${helper} reads connections of ${protocol} alone: ` +
      `give the rule services of ${protocol}, such as { protocol: ${protocol}, ports: [${port}] }`;
    expect(errors(...documents(text(ftp), named('udp')))).toEqual([says('ftp', 'tcp', 21)]);
    expect(errors(...documents(text('- {action: allow, helper: ftp}')))).toEqual([says('ftp', 'tcp', 21)]);
    const mixed = '- {action: allow, helper: tftp, services: [{protocol: udp}, {protocol: tcp}]}';
    expect(errors(...documents(text(mixed)))).toEqual([says('tftp', 'udp', 69)]);
  });
  test('a missing group in a group', () => {
    expect(errors(group('a', ['b']))).toEqual([
      'a.yaml:1:1: spec.groups[0]: there is no Group "b": known: a',
    ]);
  });
  test('groups in a circle are named once', () => {
    expect(errors(group('a', ['b']), group('b', ['x', 'c']), group('c', ['b']), group('x', []))).toEqual([
      'c.yaml:1:1: spec.groups[0]: groups hold each other in a circle: b -> c -> b; remove one step',
    ]);
    expect(errors(group('a', ['a']))).toEqual([
      'a.yaml:1:1: spec.groups[0]: groups hold each other in a circle: a -> a; remove one step',
    ]);
    expect(errors(group('a', ['b', 'c']), group('b', ['c']), group('c', []))).toEqual([]);
  });
  test('what is excluded must be there, and closes circles, too', () => {
    const except = (name: string, groups: string[], excluded: string[]) =>
      make('Group', name, { groups, workloads: {}, except: { groups: excluded } });
    expect(errors(except('a', [], ['b', 'c']), except('b', ['a'], []), group('c', []))).toEqual([
      'b.yaml:1:1: spec.groups[0]: groups hold each other in a circle: a -> b -> a; remove one step',
    ]);
    expect(errors(except('a', ['c'], ['a']), group('c', []))).toEqual([
      'a.yaml:1:1: spec.except.groups[0]: groups hold each other in a circle: a -> a; remove one step',
    ]);
    const rule = {
      action: 'drop',
      from: { workloads: {}, except: { groups: ['x'], workloads: { names: ['y'] } } },
    };
    expect(errors(make('SecurityPolicy', 'p', { rules: [rule] }))).toEqual([
      'p.yaml:1:1: spec.rules[0].from.except.groups[0]: there is no Group "x": there is none',
      'p.yaml:1:1: spec.rules[0].from.except.workloads.names[0]: there is no Workload "y": there is none',
    ]);
  });
  test('a chain of 20,000 groups is no stack overflow, but refused', () => {
    const one = group('g', []);
    const chain = (length: number) =>
      Array.from({ length }, (_, i) => {
        const groups = i === length - 1 ? [] : [`g${i + 1}`];
        return { ...one, metadata: { name: `g${i}`, labels: {} }, spec: { groups } } as Document;
      });
    expect(errors(...chain(64))).toEqual([]);
    expect(errors(...chain(20_000))).toEqual([
      'g.yaml:1:1: spec.groups: groups are nested deeper than 64 levels: hold the inner ones directly',
    ]);
  });
  test('names twice, and a second Host', () => {
    expect(errors(lan, make('Segment', 'lan', {}))).toEqual([
      'lan.yaml:1:1: metadata.name: duplicate: the first is in lan.yaml:1; remove or rename one',
    ]);
    expect(errors(make('Host', 'a', {}), make('Host', 'b', {}))).toEqual([
      'b.yaml:1:1: metadata.name: second Host: there is one per machine, and it is in a.yaml:1; remove or rename one',
    ]);
  });
});

describe('attachments', () => {
  const on = (name: string, tap: object, more: object = {}) =>
    make('Workload', name, {
      segment: 'lan',
      attach: { tap: { netns: name, name: 'eth0', ...tap } },
      ...more,
    });

  test('one MAC for two in a segment', () => {
    const mac = { mac: '02:00:00:00:00:01' };
    expect(errors(lan, on('a', mac), on('b', mac))).toEqual([
      'b.yaml:1:1: spec.attach.tap.mac: MAC 02:00:00:00:00:01 is already that of Workload "a" (a.yaml:1) in segment "lan": give it another',
    ]);
  });
  test('one address for two in a segment', () => {
    expect(errors(lan, workload('a', ['10.0.0.2/24']), workload('b', ['10.0.0.2/16']))).toEqual([
      'b.yaml:1:1: spec.attach.tap.addresses[0]: 10.0.0.2 is also used by Workload "a" (a.yaml:1) in segment "lan": give each its own address',
    ]);
    const other = make('Workload', 'b', {
      segment: 'other',
      attach: { tap: { netns: 'b', name: 'eth0', addresses: ['10.0.0.2/24'] } },
    });
    expect(errors(lan, make('Segment', 'other', {}), workload('a', ['10.0.0.2/24']), other)).toEqual([]);
  });
  test('an address that two may use is only a warning', () => {
    const shared = { addresses: ['10.0.0.2', '10.0.0.9'] };
    const found = warnings(lan, workload('a', ['10.0.0.2/24']), workload('b', ['10.0.0.9/24'], {}, shared));
    expect(found).toEqual([
      'b.yaml:1:1: spec.addresses[0]: 10.0.0.2 is also used by Workload "a" (a.yaml:1) in segment "lan": rules cannot tell the two apart there',
    ]);
  });
  test('one device for two', () => {
    const tap = { netns: 'same' };
    expect(errors(lan, on('a', tap), on('b', tap))).toEqual([
      'b.yaml:1:1: spec.attach.tap.name: device "eth0" already belongs to Workload "a" (a.yaml:1): use another',
    ]);
    const veth = (name: string) =>
      make('Workload', name, { segment: 'lan', attach: { veth: { interface: 'v0' } } });
    expect(errors(lan, veth('a'), veth('b')).join()).toContain('device "v0" already belongs to Workload "a"');
    expect(errors(lan, veth('a'), nic('b', 'v0', 'lan')).join()).toContain(
      'device "v0" already belongs to Workload "a"',
    );
  });
  test('one VLAN of a nic for two', () => {
    const segments = [
      make('Segment', 's1', { vlan: 5 }),
      make('Segment', 's2', { vlan: 6 }),
      make('Segment', 's3', { vlan: 5 }),
    ];
    expect(errors(...segments, nic('a', 'eth1', 's1'), nic('b', 'eth1', 's2'))).toEqual([]);
    expect(errors(...segments, nic('a', 'eth1', 's1'), nic('b', 'eth1', 's3'))).toEqual([
      'b.yaml:1:1: spec.attach.nic.interface: VLAN 5 of nic "eth1" already belong to Workload "a" (a.yaml:1): give segment "s3" another vlan, or use another nic',
    ]);
    expect(errors(lan, nic('a', 'eth1', 'lan'), nic('b', 'eth1', 'lan')).join()).toContain(
      'untagged frames of nic "eth1"',
    );
  });
  test('one VNI for two segments', () => {
    expect(errors(make('Segment', 'a', { vni: 7 }), make('Segment', 'b', { vni: 7 }))).toEqual([
      'b.yaml:1:1: spec.vni: VNI 7 is already that of Segment "a" (a.yaml:1): give each segment its own',
    ]);
  });
  test('a TAP address that would be refused as spoofed', () => {
    expect(errors(lan, workload('a', ['10.0.0.2/24'], {}, { addresses: ['10.0.0.3'] }))).toEqual([
      'a.yaml:1:1: spec.attach.tap.addresses[0]: 10.0.0.2/24 is not among spec.addresses, so it would be refused as spoofed: add it there',
    ]);
  });
  test('a gateway outside all networks', () => {
    const tap = { addresses: ['10.0.0.2/24'], gateway: ['10.0.1.1', 'fe80::1'] };
    expect(errors(lan, on('a', tap))).toEqual([
      "a.yaml:1:1: spec.attach.tap.gateway: gateway 10.0.1.1 is in none of the tap's networks: add an address of its network, or mend it",
    ]);
    expect(errors(lan, on('a', { ...tap, gateway: '10.0.0.1' }))).toEqual([]);
  });
  test('what the Host does not permit is foreseen', () => {
    const host = make('Host', 'h', { attach: { namespaces: ['hg-*'] } });
    expect(warnings(lan, host, workload('a', []))).toEqual([]);
    expect(warnings(lan, host, on('a', {}))).toEqual([
      'a.yaml:1:1: spec.attach.tap: the engine will refuse to attach it: namespace a matches none of attach.namespaces (hg-*) of Host "h" (h.yaml:1)',
    ]);
    expect(warnings(lan, host, nic('n', 'eth1', 'lan')).join()).toContain(
      'interface eth1 matches none of attach.interfaces',
    );
  });
  test('IPv6 without a MAC', () => {
    const veth = make('Workload', 'w', {
      segment: 'lan',
      attach: { veth: { interface: 'v0' } },
      addresses: ['fd00::1'],
    });
    expect(warnings(lan, veth).join()).toContain('has IPv6 addresses but no mac');
  });
});

describe('rules that find nothing are warned about', () => {
  test('no workload, no source, no destination', () => {
    const text = yaml(
      'SecurityPolicy',
      'p',
      'rules:\n- {name: a, action: drop, appliedTo: {workloads: {matchLabels: {app: x}}}}\n- {name: b, action: drop, from: {groups: [empty]}, to: {addresses: []}}\n- {name: c, action: drop}',
    );
    expect(warnings(lan, workload('w', []), ...documents(text, yaml('Group', 'empty', '{}')))).toEqual([
      'f1.yaml:6:1: spec.rules[0].appliedTo: rule p/a applies to no workload and to no tracker of an edge pair',
      'f1.yaml:7:1: spec.rules[1].from: rule p/b matches nothing: what `from` selects has no addresses',
      'f1.yaml:7:1: spec.rules[1].to: rule p/b matches nothing: what `to` selects has no addresses',
    ]);
  });
});
