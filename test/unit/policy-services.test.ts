// Service documents: what plan refuses, and what the engine is sent.
import { describe, expect, test } from 'vitest';
import { formatError, type Document } from '../../src/documents/index.js';
import { change, check, compile, diff, inventoryOf } from '../../src/policy/index.js';
import { errorsOf, make, yaml } from './document-helpers.js';

const errors = (...all: Document[]) =>
  check(all).errors.map((one) => formatError(one).replace(/^[^:]*:\d+:\d+: /, ''));

const red = make('Segment', 'red', {});
const tap = make('Workload', 'w1', {
  segment: 'red',
  attach: { tap: { netns: 'n', name: 'eth0', addresses: ['10.0.0.1/24'] } },
});
const nic = (name: string, device = name) =>
  make('Workload', name, { segment: 'red', attach: { nic: { interface: device } } });
const portal = (name: string, spec: object = {}) =>
  make('ServicePortal', name, { workload: 'wire', ...spec });
const tag = (name: string, spec: object) =>
  make('ServiceTag', name, { tag: 11, client: 'red', service: 'inspect', ...spec });
const insertion = (spec: object = {}) =>
  make('ServiceInsertion', 'red', { client: 'red', rules: [{ name: 'all', through: 'inspect' }], ...spec });
const wire = nic('wire');
const base = [red, tap, wire, portal('fw')];

test('what holds together has no errors', () => {
  expect(errors(...base, tag('t', { portal: 'fw' }), insertion())).toEqual([]);
});

describe('refused', () => {
  const cases: [string, Document[], RegExp][] = [
    ['a service without a tag', [...base, insertion()], /has no ServiceTag for service "inspect": add one/],
    [
      'a service without a tag, with the nearest',
      [...base, tag('t', { portal: 'fw', service: 'inspects' }), insertion()],
      /did you mean "inspects"\?/,
    ],
    [
      'two tags for one service of a client',
      [...base, tag('t', { portal: 'fw' }), tag('u', { portal: 'fw', tag: 12 })],
      /service "inspect" of client "red" already has ServiceTag "t"/,
    ],
    [
      'a number that is taken, with the next free one',
      [...base, tag('t', { portal: 'fw', tag: 1 }), tag('u', { portal: 'fw', tag: 1, service: 'other' })],
      /number 1 at workload "wire" is already that of ServiceTag "t" .*: the next free one is 2/,
    ],
    [
      'a number that a portal cannot carry',
      [...base, tag('t', { portal: 'fw', tag: 4095 })],
      /portal "fw" can carry 1 to 4094, not 4095: give it another there \(portalTags: \{fw: \.\.\.\}\)/,
    ],
    [
      'two portals of a way that frames could not be told from',
      [
        ...base,
        portal('ids'),
        make('ServiceChain', 'c', { portals: ['fw', 'ids'] }),
        tag('t', { chain: 'c' }),
      ],
      /portal "ids" would have number 11 at workload "wire" a second time/,
    ],
    [
      'an alternate on the same nic, likewise',
      [red, tap, wire, portal('fw', { alternates: ['ids'] }), portal('ids'), tag('t', { portal: 'fw' })],
      /portal "ids" would have number 11/,
    ],
    [
      'a portal that stands in for itself',
      [red, tap, wire, portal('fw', { alternates: ['fw'] })],
      /stands in for itself/,
    ],
    [
      'a portal on a tap',
      [red, tap, make('ServicePortal', 'fw', { workload: 'w1' })],
      /workload "w1" is no nic/,
    ],
    [
      'a nic that somebody else has too',
      [
        ...base,
        make('Segment', 'blue', { vlan: 5 }),
        make('Workload', 'x', { segment: 'blue', attach: { nic: { interface: 'wire' } } }),
      ],
      /nic "wire" also belongs to Workload "x" .*, which could forge tags/,
    ],
    [
      'clients and services at one place',
      [...base, portal('up'), tag('t', { portal: 'fw', from: 'up', portalTags: { fw: 12 } })],
      /clients come in at workload "wire", where ServicePortal "fw" .* frames could go round/,
    ],
    ['a tag that leads nowhere', [...base, tag('t', {}), insertion()], /has no portal and no chain/],
    [
      'a remote that the tunnel does not have',
      [
        red,
        make('Tunnel', 'u', { encapsulation: 'gre', local: '192.0.2.1', remotes: ['192.0.2.2'] }),
        make('ServicePortal', 'fw', { tunnel: 'u', remote: '192.0.2.3' }),
      ],
      /"192.0.2.3" is no remote of tunnel "u": did you mean "192.0.2.2"\?/,
    ],
    [
      'insertions of a client that go different ways',
      [
        ...base,
        tag('t', { portal: 'fw' }),
        insertion(),
        make('ServiceInsertion', 'other', { client: 'red', via: 'fw', rules: [{ through: 'inspect' }] }),
      ],
      /insertions send it different ways \(via (none, fw|fw, none)\)/,
    ],
    ['a portal that is not there', [red, tag('t', { portal: 'no' })], /there is no ServicePortal "no"/],
  ];
  test.each(cases)('%s', (_, documents, words) => {
    const found = errors(...documents);
    expect(found.filter((one) => words.test(one))).toHaveLength(1);
  });

  test('tags that are used up', () => {
    const tags = Array.from(
      { length: 4095 },
      (_, i) =>
        ({
          ...tag('t', { portal: 'fw' }),
          metadata: { name: `t${i}`, labels: {} },
          spec: { tag: Math.min(i + 1, 4094), client: 'red', service: `s${i}`, portal: 'fw' },
        }) as Document,
    );
    expect(errors(...base, ...tags)).toEqual([
      expect.stringMatching(/number 4094 .* all 4094 that its encapsulation has are taken/),
    ]);
  });

  test.each([
    ['{workload: w, tunnel: t, remote: 192.0.2.1}', 'needs one of workload and tunnel'],
    ['{tunnel: t}', 'tunnel and remote belong together'],
    ['{workload: w, encapsulation: qinq}', 'belongs to encapsulation qinq'],
    ['{workload: w, health: {probe: tcp, address: 192.0.2.1, source: 192.0.2.2}}', 'the port that tcp asks'],
    [
      '{workload: w, health: {probe: icmp, address: 192.0.2.1, source: 192.0.2.2, port: 1}}',
      'ICMP has no port',
    ],
    ['{workload: w, health: {probe: icmp, address: "2001:db8::1", source: 192.0.2.2}}', 'asked over IPv4'],
    ['{workload: w, health: {probe: icmp, address: 192.0.2.1, source: 192.0.2.1}}', 'is the portal itself'],
    [
      '{workload: w, health: {probe: http, port: 1, path: "a b", address: 192.0.2.1, source: 192.0.2.2}}',
      'is not a path',
    ],
  ])('portal %s', (spec, words) => {
    expect(errorsOf(yaml('ServicePortal', 'p', spec)).join()).toContain(words);
  });
  test('a chain that names a portal twice', () => {
    expect(errorsOf(yaml('ServiceChain', 'c', '{portals: [a, b, a]}')).join()).toContain(
      'frames would go round',
    );
  });
  test('a tag with portal and chain, and a gateway without either', () => {
    const common = 'tag: 1, client: c, service: s';
    expect(errorsOf(yaml('ServiceTag', 't', `{${common}, portal: a, chain: b}`)).join()).toContain(
      'takes one of',
    );
    expect(errorsOf(yaml('ServiceTag', 't', `{${common}, from: a}`)).join()).toContain(
      'a gateway needs portal',
    );
  });
});

describe('lowered', () => {
  const all = [
    red,
    tap,
    wire,
    make('Segment', 'blue', {}),
    make('Workload', 'w2', { segment: 'blue', attach: { veth: { interface: 'v' } } }),
    portal('fw', { fail: 'open', alternates: ['far'], encapsulation: 'qinq', outerVlan: 7 }),
    make('Tunnel', 'u', { encapsulation: 'nsh', local: '192.0.2.1', remotes: ['192.0.2.2'] }),
    make('ServicePortal', 'far', { tunnel: 'u', remote: '192.0.2.2' }),
    tag('t', { portal: 'fw' }),
    insertion(),
  ];
  const { desired } = compile(all);

  test('hops with the keys of each encapsulation, the alternate behind its portal', () => {
    expect(desired.tags.get('t')).toMatchObject({
      segment: 'red',
      hops: [
        {
          open: true,
          legs: [
            { portal: 'fw', key: 7 * 4096 + 11 },
            { portal: 'far', key: 11 * 256 + 255 },
          ],
        },
      ],
    });
  });
  test('a portal behind a tunnel is a workload of its own', () => {
    expect(desired.portals.get('far')).toMatchObject({ workload: 'portal/far', nsh: true });
    expect(desired.workloads.get('portal/far')?.attach).toMatchObject({
      kind: 'tunnel',
      remote: '192.0.2.2',
      key: 255,
    });
  });
  test('entries behind all categories, for the workloads of the client alone', () => {
    const { setEntries, setScopes } = diff(inventoryOf(compile([]).desired), desired);
    expect(setEntries).toEqual([
      expect.objectContaining({ id: 'insertion:red/all', category: 4, tag: 't', direction: 'both' }),
    ]);
    expect(setScopes?.map(({ workloads }) => workloads)).toEqual([['w1', 'wire']]);
  });
  test('a tag that is pointed elsewhere changes that tag, and nothing else', () => {
    const elsewhere = all.map((one) => (one.kind === 'ServiceTag' ? tag('t', { portal: 'far' }) : one));
    expect(Object.keys(change(desired, compile(elsewhere).desired))).toEqual(['setTags']);
  });
  test('a tag that nobody uses here is not sent', () => {
    const unused = compile(all.filter(({ kind }) => kind !== 'ServiceInsertion')).desired;
    expect([...unused.tags.keys()]).toEqual([]);
  });
  test('via a gateway the tag has one hop, whatever it has there', () => {
    const via = compile([
      ...all.filter(({ kind }) => kind !== 'ServiceInsertion'),
      insertion({ via: 'far' }),
    ]).desired;
    expect(via.tags.get('t')?.hops).toEqual([
      { open: false, legs: [{ portal: 'far', key: 11 * 256 + 255 }] },
    ]);
  });
  test('at a gateway: where clients come in, and a tracker for each', () => {
    const gateway = compile([
      red,
      wire,
      nic('down'),
      portal('fw'),
      portal('switch', { workload: 'down' }),
      tag('t', { portal: 'fw', from: 'switch' }),
    ]).desired;
    expect(gateway.tags.get('t')).toMatchObject({
      entry: { portal: 'switch', key: 11 },
      tracker: 'client:red',
      hops: [{ open: false, legs: [{ portal: 'fw', key: 11 }] }],
    });
  });
});
