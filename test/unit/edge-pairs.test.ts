// Trackers and edge pairs as documents: what is read, what is refused, and what they come to in the engine's terms.
import { describe, expect, test } from 'vitest';
import { formatError, readDocuments, type Document } from '../../src/documents/index.js';
import { checkPermits } from '../../src/engine/permits.js';
import { change, check, compile, diff, examine } from '../../src/policy/index.js';
import { make, workload, yaml } from './document-helpers.js';

const bridge = (southVlan: number, northVlan: number, tracker = 't') => ({ southVlan, northVlan, tracker });
const pair = (name: string, bridges: object[] = [bridge(1, 2)]) =>
  make('EdgePair', name, {
    south: { interface: `${name}s` },
    north: { interface: `${name}n` },
    bridges,
  });
const tracker = (name = 't', labels = {}) => make('Tracker', name, {}, labels);
const lan = make('Segment', 'lan', {});
const errors = (...all: Document[]) => check(all).errors.map(formatError);
const warnings = (...all: Document[]) => check(all).warnings.map(formatError);

describe('an EdgePair', () => {
  const read = (spec: string) =>
    readDocuments([{ file: 'f.yaml', text: yaml('EdgePair', 'e', spec) }]).errors.map(formatError);
  const ends = 'south: {interface: a}\nnorth: {interface: b}\n';

  test.each([
    [`${ends}bridges: []`, 'spec.bridges: the list is empty: without bridges nothing passes'],
    ['south: {interface: a}\nnorth: {interface: a}\nbridges: [{tracker: t}]', '"a" is the south already'],
    [
      `${ends}bridges: [{southVlan: 4095, tracker: t}]`,
      '4095 is out of bounds: a VLAN id is a number from 1 to 4094',
    ],
    [
      `${ends}bridges: [{southInnerVlan: 5, tracker: t}]`,
      'southInnerVlan needs southVlan: add the outer tag',
    ],
    [`${ends}bridges: [{southVlan: 5}]`, 'spec.bridges[0].tracker: is missing'],
    [
      `${ends}bridges: [{southVlan: 5, tracker: t}, {southVlan: 6, tracker: t}]`,
      'spec.bridges[1]: untagged frames on the north are those of bridges[0] already',
    ],
    [
      `${ends}bridges: [{southVlan: 5, southInnerVlan: 6, northVlan: 1, tracker: t}, {southVlan: 5, southInnerVlan: 6, northVlan: 2, tracker: u}]`,
      'spec.bridges[1]: frames of VLAN 5.6 on the south are those of bridges[0] already',
    ],
    [`${ends}bridges: [{soutVlan: 5, tracker: t}]`, 'unknown field "soutVlan": did you mean "southVlan"?'],
  ])('%j is refused', (spec, text) => {
    const found = read(spec);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(text);
  });

  test('with one VLAN as outer tag of several customers is read', () => {
    expect(
      read(
        `${ends}bridges: [{southVlan: 5, southInnerVlan: 6, northVlan: 1, tracker: t}, {southVlan: 5, northVlan: 2, tracker: u}]`,
      ),
    ).toEqual([]);
  });
});

describe('what is checked', () => {
  test('an edge pair needs the Tracker document', () => {
    expect(errors(tracker(), pair('e', [bridge(1, 2, 'tt')]))).toEqual([
      'e.yaml:1:1: spec.bridges[0].tracker: there is no Tracker "tt": did you mean "t"?',
    ]);
    const policy = make('SecurityPolicy', 'p', { appliedTo: { trackers: { names: ['x'] } }, rules: [] });
    expect(errors(tracker(), policy)).toEqual([
      'p.yaml:1:1: spec.appliedTo.trackers.names[0]: there is no Tracker "x": known: t',
    ]);
  });

  test('a Segment does not; where there are such documents, another name is warned of', () => {
    const own = make('Segment', 'a', { tracker: 'tt' });
    expect(warnings(own)).toEqual([]);
    expect(warnings(own, tracker())).toEqual([
      'a.yaml:1:1: spec.tracker: there is no Tracker "tt": did you mean "t"?',
    ]);
    expect(warnings(make('Segment', 't', {}), tracker()).join()).toContain(
      'shares the connections of Tracker "t" (t.yaml:1), which has its name',
    );
  });

  test("an interface is one pair's, and no workload's", () => {
    const veth = make('Workload', 'w', { segment: 'lan', attach: { veth: { interface: 'en' } } });
    expect(errors(lan, veth, tracker(), pair('e'))).toEqual([
      'e.yaml:1:1: spec.north.interface: device "en" already belongs to Workload "w" (w.yaml:1): use another',
    ]);
    const other = make('EdgePair', 'f', {
      south: { interface: 'es' },
      north: { interface: 'fn' },
      bridges: [bridge(1, 2)],
    });
    expect(errors(tracker(), pair('e'), other)).toEqual([
      'f.yaml:1:1: spec.south.interface: device "es" already belongs to EdgePair "e" (e.yaml:1): use another',
    ]);
  });

  test('what the Host does not permit is foreseen, and refused by the engine', () => {
    const host = make('Host', 'h', { attach: { interfaces: ['es'] } });
    expect(warnings(host, tracker(), pair('e'))).toEqual([
      'e.yaml:1:1: spec.north.interface: the engine will refuse to attach it: interface en matches none of attach.interfaces (es) of Host "h" (h.yaml:1)',
    ]);
    const delta = { setWorkloads: [...compile([tracker(), pair('e')]).desired.workloads.values()] };
    const permitted = (interfaces: string[]) => () =>
      checkPermits({ namespaces: [], interfaces }, delta, '/etc/h.yaml');
    expect(permitted(['es'])).toThrow('workload edge:e/north: interface en matches none');
    expect(permitted(['e*'])).not.toThrow();
  });

  test('edge pairs that come are looked at after a change, too', () => {
    const first = examine([lan, workload('w', []), tracker()]);
    const [found] = examine([...first.all, pair('e'), pair('e')], first).errors;
    expect(found?.message).toContain('duplicate');
    const veth = make('Workload', 'v', { segment: 'lan', attach: { veth: { interface: 'es' } } });
    const second = examine([...first.all, veth], first);
    expect(
      examine([...second.all, pair('e')], second)
        .errors.map(formatError)
        .join(),
    ).toContain('device "es" already belongs to Workload "v"');
  });
});

describe('what they come to', () => {
  const policy = (name: string, appliedTo?: object) =>
    make('SecurityPolicy', name, {
      ...(appliedTo && { appliedTo }),
      rules: [{ name: 'r', action: 'allow' }],
    });
  const scopeOf = (documents: Document[], name: string) => {
    const { desired } = compile(documents);
    const scope = desired.policies.get(name)?.policy.rules[0]?.entry.scope ?? '';
    return [...(desired.scopes.get(scope)?.workloads ?? [])].sort();
  };

  test('a segment with bridges, two workloads with a side, and one without a segment', () => {
    const { desired } = compile([tracker(), tracker('unused'), pair('e', [bridge(1, 2), { tracker: 't' }])]);
    expect([...desired.segments.values()]).toMatchObject([
      {
        name: 'edge:e',
        bridges: [
          { southVlan: 1, northVlan: 2, tracker: 't', judge: 'tracker:t' },
          { tracker: 't', judge: 'tracker:t' },
        ],
      },
    ]);
    expect([...desired.workloads.values()]).toMatchObject([
      { name: 'tracker:t' },
      { name: 'edge:e/south', segment: 'edge:e', side: 'south', attach: { kind: 'veth', device: 'es' } },
      { name: 'edge:e/north', segment: 'edge:e', side: 'north', attach: { kind: 'veth', device: 'en' } },
    ]);
  });

  test('rules without appliedTo apply at trackers; others where they say', () => {
    const things = [lan, workload('w', []), tracker('t', { tenant: 'a' }), tracker('u'), tracker('unused')];
    const all = [...things, pair('e', [bridge(1, 2), bridge(3, 4, 'u')])];
    const scope = (appliedTo?: object) => scopeOf([...all, policy('p', appliedTo)], 'p');
    expect(scope()).toEqual(['tracker:t', 'tracker:u', 'w']);
    expect(scope({ workloads: {} })).toEqual(['w']);
    expect(scope({ trackers: {} })).toEqual(['tracker:t', 'tracker:u']);
    expect(scope({ trackers: { matchLabels: { tenant: 'a' } } })).toEqual(['tracker:t']);
    expect(scope({ trackers: { names: ['u'] }, workloads: {} })).toEqual(['tracker:u', 'w']);
    expect(scope({ trackers: {}, except: { trackers: { names: ['u'] } } })).toEqual(['tracker:t']);
  });

  test('a change of a label, a limit or a bridge is the smallest delta', () => {
    const everyone = policy('p', { trackers: { matchLabels: { tenant: 'a' } } });
    const before = compile([lan, workload('w', []), tracker('t', { tenant: 'a' }), pair('e'), everyone]);
    const after = (documents: Document[]) => {
      const next = compile([lan, workload('w', []), everyone, ...documents], before);
      const delta = change(before.desired, next.desired);
      expect(compile([lan, workload('w', []), everyone, ...documents]).desired.scopes).toEqual(
        next.desired.scopes,
      );
      return delta;
    };
    expect(Object.keys(after([tracker('t', { tenant: 'b' }), pair('e')]))).toEqual(['editScopes']);
    const limited = make('Tracker', 't', { limits: { connections: 5 } }, { tenant: 'a' });
    expect(after([limited, pair('e')])).toMatchObject({
      setWorkloads: [{ name: 'tracker:t', limits: { connections: 5 } }],
    });
    const delta = after([tracker('t', { tenant: 'a' }), pair('e', [bridge(1, 3)])]);
    expect(delta).toMatchObject({ setSegments: [{ name: 'edge:e', bridges: [{ northVlan: 3 }] }] });
    expect(Object.keys(delta)).toEqual(['setSegments']);
  });

  test('old documents come to what they came to', () => {
    const empty = {
      generation: 0,
      addressSets: {},
      rules: [],
      segments: {},
      workloads: {},
      scopes: {},
      portals: {},
      tags: {},
      entries: {},
    };
    const { desired } = compile([make('Segment', 'a', { tracker: 'shared' }), make('Segment', 'b', {})]);
    expect(diff(empty, desired).setSegments).toMatchObject([
      { name: 'a', tracker: 'shared' },
      { name: 'b', tracker: 'b' },
    ]);
  });
});
