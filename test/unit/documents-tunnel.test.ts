// Tunnel documents: what each encapsulation takes, and what it comes to on the wire and in the engine.
import { describe, expect, test } from 'vitest';
import type { SegmentDocument, TunnelDocument } from '../../src/documents/index.js';
import { keyOf, metadataOf, overheadOf } from '../../src/documents/tunnel.js';
import { attachSchema, workloadSchema } from '../../src/engine/messages.js';
import { check } from '../../src/policy/index.js';
import { compile } from '../../src/policy/compile.js';
import { remotesOf } from '../../src/policy/lower-tunnel.js';
import { errorsOf, make, workload, yaml } from './document-helpers.js';

const VXLAN = { encapsulation: 'vxlan', local: '192.0.2.1', remotes: ['192.0.2.2'] };
const ETHERNET = { encapsulation: 'nsh-ethernet', interface: 'eth0', remotes: ['02:00:00:00:00:02'] };
const tunnel = (spec: object, name = 'overlay') => make('Tunnel', name, spec) as TunnelDocument;
const segment = (spec: object, name = 'lan') => make('Segment', name, spec) as SegmentDocument;

test.each([
  [{ ...VXLAN, remotes: [] }, /at least one remote/],
  [{ ...VXLAN, local: undefined }, /spec.local: is needed/],
  [{ ...VXLAN, remotes: ['192.0.2.1'] }, /is this host itself/],
  [{ ...VXLAN, remotes: ['192.0.2.2', '192.0.2.2'] }, /is there twice/],
  [{ ...VXLAN, remotes: ['2001:db8::2'] }, /not of the family of local/],
  [{ ...VXLAN, remotes: ['02:00:00:00:00:02'] }, /is a MAC: give an address/],
  [{ ...VXLAN, options: [{ class: 1, type: 1 }] }, /vxlan has no options/],
  [{ ...VXLAN, context: '00'.repeat(16) }, /vxlan has no context/],
  [{ ...VXLAN, encapsulation: 'vxlam' }, /did you mean "vxlan"/],
  [{ ...VXLAN, encapsulation: 'geneve', options: [{ class: 1, type: 1, data: '0' }] }, /is not data/],
  [
    {
      ...VXLAN,
      encapsulation: 'geneve',
      options: Array(3).fill({ class: 1, type: 1, data: '00'.repeat(124) }),
    },
    /too long: 384/,
  ],
  [{ ...VXLAN, encapsulation: 'nsh', options: [{ class: 1, type: 128 }] }, /type of NSH is up to 127/],
  [{ ...VXLAN, encapsulation: 'nsh', context: '00' }, /has 16 bytes/],
  [{ ...ETHERNET, interface: undefined }, /spec.interface: is needed/],
  [{ ...ETHERNET, local: '192.0.2.1' }, /is not used over Ethernet/],
  [{ ...ETHERNET, port: 4790 }, /has no ports/],
  [{ ...ETHERNET, remotes: ['192.0.2.2'] }, /is not a MAC/],
])('%j is wrong', (spec, message) => {
  const text = yaml('Tunnel', 'overlay', JSON.stringify(spec));
  expect(errorsOf(text).join('\n')).toMatch(message);
});

test('a segment on tunnels needs a vni', () => {
  expect(errorsOf(yaml('Segment', 'lan', 'tunnels: [overlay]')).join()).toMatch(/tunnels need vni/);
});

describe('metadata', () => {
  test('of Geneve counts words', () => {
    const spec = {
      encapsulation: 'geneve',
      options: [
        { class: 0x102, type: 131, data: '0A0b0c' },
        { class: 1, type: 2 },
      ],
    } as const;
    expect(metadataOf({ ...spec, options: [...spec.options] })).toBe('010283010a0b0c0000010200');
  });

  test('of NSH counts bytes, or is a context', () => {
    expect(metadataOf({ encapsulation: 'nsh', options: [{ class: 1, type: 2, data: '0102030405' }] })).toBe(
      '000102050102030405000000',
    );
    expect(metadataOf({ encapsulation: 'nsh', context: 'AB'.repeat(16) })).toBe('ab'.repeat(16));
  });

  test.each([
    [VXLAN, 50],
    [{ ...VXLAN, local: '2001:db8::1', remotes: ['2001:db8::2'] }, 70],
    [{ ...VXLAN, encapsulation: 'gre' }, 42],
    [{ ...VXLAN, encapsulation: 'gre', port: 4754 }, 50],
    [{ ...VXLAN, encapsulation: 'geneve', options: [{ class: 1, type: 1, data: '00000000' }] }, 58],
    [{ ...VXLAN, encapsulation: 'nsh' }, 58],
    [ETHERNET, 22],
  ])('and the rest of %j take %i bytes', (spec, bytes) => expect(overheadOf(tunnel(spec).spec)).toBe(bytes));
});

describe('in the engine', () => {
  test('each remote of each segment is a place', () => {
    const spec = { ...VXLAN, remotes: ['192.0.2.2', '192.0.2.3'], netns: 'u', mtu: 1600 };
    const tunnels = [tunnel(spec)];
    const segments = [
      segment({ vni: 7, tunnels: ['overlay'] }),
      segment({ vni: 8, tunnels: ['overlay'], oversized: 'fragment' }, 'other'),
      segment({}, 'here'),
    ];
    const places = remotesOf(segments, tunnels);
    expect(places.map(({ name }) => name)).toEqual([
      'overlay/7/192.0.2.2',
      'overlay/7/192.0.2.3',
      'overlay/8/192.0.2.2',
      'overlay/8/192.0.2.3',
    ]);
    expect(places[2]).toMatchObject({
      segment: 'other',
      attach: {
        kind: 'tunnel',
        device: 'overlay',
        remote: '192.0.2.2',
        key: 8,
        fragment: true,
        netns: 'u',
        mtu: 1600,
      },
    });
    for (const place of places) expect(workloadSchema.parse(place)).toEqual(place);
    expect(remotesOf(segments, tunnels)[0]).toBe(places[0]);
  });

  test('NSH has a path and a service index; a MAC is a link-local address', () => {
    expect(keyOf('nsh', 7)).toBe(7 * 256 + 255);
    const [place] = remotesOf(
      [segment({ vni: 7, tunnels: ['overlay'] })],
      [tunnel({ ...ETHERNET, context: '00'.repeat(16) })],
    );
    expect(place?.attach).toMatchObject({
      remote: 'fe80::ff:fe00:2',
      key: 2047,
      metadataType: 1,
      metadata: '00'.repeat(16),
    });
    expect(attachSchema.parse(place?.attach)).toEqual(place?.attach);
  });

  test('a change of the tunnel changes its places; a change of policy none', () => {
    const lan = segment({ vni: 7, tunnels: ['overlay'] });
    const first = compile([lan, tunnel(VXLAN), workload('w', ['10.0.0.1/24'])]);
    const policy = make('SecurityPolicy', 'p', { rules: [{ action: 'allow' }] });
    expect(compile([...first.kinds.documents, policy], first).desired.workloads).toBe(
      first.desired.workloads,
    );
    const moved = compile([lan, tunnel({ ...VXLAN, remotes: ['192.0.2.9'] })], first);
    expect([...moved.desired.workloads.keys()]).toEqual(['overlay/7/192.0.2.9']);
    expect([...compile([lan], first).desired.workloads.keys()]).toEqual([]);
  });
});

describe('checked', () => {
  const errors = (...documents: Parameters<typeof check>[0]) =>
    check(documents)
      .errors.map(({ message }) => message)
      .join('\n');

  test('a tunnel that does not exist', () => {
    expect(errors(segment({ vni: 7, tunnels: ['overlai'] }), tunnel(VXLAN))).toMatch(
      /no Tunnel "overlai".*overlay/,
    );
  });
  test('two on one socket', () => {
    const two = { ...VXLAN, remotes: ['192.0.2.7'] };
    expect(errors(tunnel(VXLAN), tunnel(two, 'again'))).toMatch(/receives there already/);
    expect(errors(tunnel(VXLAN), tunnel({ ...two, port: 8472 }, 'again'))).toBe('');
    expect(
      errors(tunnel({ ...VXLAN, encapsulation: 'gre' }), tunnel({ ...two, encapsulation: 'nvgre' }, 'again')),
    ).toMatch(/receives there/);
    expect(errors(tunnel(ETHERNET), tunnel(ETHERNET, 'again'))).toMatch(/receives there already/);
  });
  test('one remote twice, and reserved ids of NVGRE', () => {
    const other = tunnel({ ...VXLAN, encapsulation: 'geneve' }, 'other');
    expect(errors(tunnel(VXLAN), other, segment({ vni: 7, tunnels: ['overlay', 'other'] }))).toMatch(
      /frames would come twice/,
    );
    expect(
      errors(tunnel({ ...VXLAN, encapsulation: 'nvgre' }), segment({ vni: 7, tunnels: ['overlay'] })),
    ).toMatch(/from 4096 on/);
  });
  test('what the host file does not permit', () => {
    const host = make('Host', 'h', { attach: { namespaces: ['u'], interfaces: ['eth1'] } });
    const warnings = (spec: object) =>
      check([host, tunnel({ ...VXLAN, ...spec })])
        .warnings.map(({ message }) => message)
        .join();
    expect(warnings({ netns: 'u', interface: 'eth0' })).toBe('');
    expect(warnings({ netns: 'v' })).toMatch(/namespace v matches none/);
    expect(warnings({})).toMatch(/does not say self/);
    expect(warnings({ interface: 'eth0' })).toMatch(/interface eth0 matches none/);
  });
});
