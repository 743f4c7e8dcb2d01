// Random sets of documents that read and check without errors, over few labels, addresses and ports, so that
// rules and packets meet often.
import fc from 'fast-check';
import type { Document, Kind } from '../../src/documents/index.js';
import { parseDocument } from '../../src/documents/index.js';
import type { Packet } from '../../src/policy/index.js';

const subset = <T>(values: readonly T[], maxLength = values.length) =>
  fc.subarray([...values], { maxLength: Math.min(maxLength, values.length) });
/** A map in which each field may be missing. */
const some = <T extends Record<string, fc.Arbitrary<unknown>>>(fields: T) =>
  fc.record(fields, { requiredKeys: [] });

const TIERS = ['web', 'app', 'db'];
const ZONES = ['a', 'b'];
const GROUPS = ['g0', 'g1', 'g2', 'g3'];
const SERVICES = ['s0', 's1'];
const WORKLOADS = ['w0', 'w1', 'w2', 'w3', 'w4'];
const TRACKERS = ['t', 'u', 'v'];
const PORTS = [0, 53, 80, 443, 65535];
const V4 = Array.from({ length: 8 }, (_, i) => `10.0.0.${i}`);
const V6 = Array.from({ length: 8 }, (_, i) => `fd00::${i}`);

const labels = some({ tier: fc.constantFrom(...TIERS), zone: fc.constantFrom(...ZONES) });

const expression = fc.oneof(
  fc.record({ key: fc.constantFrom('tier', 'zone'), operator: fc.constantFrom('Exists', 'DoesNotExist') }),
  fc.record({
    key: fc.constantFrom('tier', 'zone'),
    operator: fc.constantFrom('In', 'NotIn'),
    values: subset([...TIERS, ...ZONES]).filter((values) => values.length > 0),
  }),
);

const selector = some({
  matchLabels: labels,
  matchExpressions: fc.array(expression, { maxLength: 2 }),
  names: subset(WORKLOADS),
});

const range = (texts: string[]) =>
  fc
    .tuple(fc.nat(7), fc.nat(7))
    .map(([a, b]) => `${texts[Math.min(a, b)] ?? ''}-${texts[Math.max(a, b)] ?? ''}`);
const addresses = fc.array(
  fc.oneof(
    fc.constantFrom(
      ...V4,
      ...V6,
      '10.0.0.0/30',
      '10.0.0.4/30',
      '10.0.0.0/8',
      'fd00::/125',
      'fd00::4/126',
      '0.0.0.0/0',
      '::/0',
    ),
    range(V4),
    range(V6),
  ),
  { maxLength: 3 },
);

const notEmpty = (value: object) => Object.keys(value).length > 0;
/** What the parts select, sometimes without what the same parts select. */
const selecting = (parts: Record<string, fc.Arbitrary<unknown>>) =>
  fc
    .tuple(some(parts), fc.option(some(parts).filter(notEmpty), { freq: 3 }), fc.boolean())
    .map(([all, except, seldom]) => (except && seldom && notEmpty(all) ? { ...all, except } : all));
const selection = (groups: string[]) =>
  selecting({ workloads: selector, addresses, groups: subset(groups, 2) });
const trackerSelector = some({
  matchLabels: labels,
  matchExpressions: fc.array(expression, { maxLength: 1 }),
  names: subset(TRACKERS),
});
const applied = selecting({
  workloads: selector,
  trackers: trackerSelector,
  groups: subset(GROUPS, 2),
}).filter(notEmpty);

const port = fc.oneof(
  fc.constantFrom(...PORTS),
  fc.tuple(fc.nat(4), fc.nat(4)).map(([a, b]) => `${PORTS[Math.min(a, b)]}-${PORTS[Math.max(a, b)]}`),
);
const portList = fc.array(port, { minLength: 1, maxLength: 2 });
const entry = fc.oneof(
  fc.record(
    { protocol: fc.constantFrom('tcp', 'udp', 'sctp', 6, '17'), ports: portList, sourcePorts: portList },
    { requiredKeys: ['protocol'] },
  ),
  fc.record(
    { protocol: fc.constantFrom('icmp', 'icmpv6'), icmpType: fc.constantFrom(0, 8, 128) },
    { requiredKeys: ['protocol'] },
  ),
  fc.record({ protocol: fc.constantFrom('icmp'), icmpType: fc.constantFrom(0, 8), icmpCode: fc.nat(1) }),
  fc.record({ protocol: fc.constantFrom(47, '47', 0, 255) }),
);

const mode = fc.constantFrom('enforce', 'observe');
/** Undefined in two of three: rules with many conditions match nothing. */
const seldom = <T>(arbitrary: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 2, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
const tracking = fc.constantFrom('strict', 'pickup', 'liberal');
const plainRule = fc.record({
  name: fc.constantFrom('r0', 'r1', 'r2', 'r3', undefined),
  direction: seldom(fc.constantFrom('in', 'out', 'both')),
  from: seldom(selection(GROUPS).filter(notEmpty)),
  to: seldom(selection(GROUPS).filter(notEmpty)),
  services: seldom(fc.array(fc.oneof(fc.constantFrom(...SERVICES), entry), { minLength: 1, maxLength: 3 })),
  action: fc.constantFrom('allow', 'drop', 'reject', 'pass'),
  appliedTo: seldom(applied),
  log: seldom(fc.boolean()),
  mode: seldom(mode),
  onChange: seldom(fc.constantFrom('reevaluate', 'keep', 'reset')),
});
/** At times with a helper, and then with such services alone as it reads. */
const rule = fc.tuple(plainRule, fc.constantFrom('ftp', 'tftp', undefined)).map(([one, helper]) => {
  const wanted = helper === 'ftp' ? ['tcp', 6] : ['udp', '17'];
  const services = one.services?.filter(
    (service) => typeof service !== 'string' && wanted.includes(service.protocol),
  );
  if (helper === undefined || one.action !== 'allow' || !services?.length) return one;
  return { ...one, services, helper };
});

const policy = fc.record(
  {
    category: fc.constantFrom('emergency', 'infrastructure', 'environment', 'application'),
    priority: fc.nat(2),
    appliedTo: seldom(applied),
    tracking: seldom(tracking),
    timeouts: seldom(some({ udpOneWay: fc.nat(1).map((n) => n + 1) })),
    mode: fc.oneof({ weight: 6, arbitrary: fc.constant('enforce') }, mode),
    rules: fc.uniqueArray(rule, { maxLength: 6, selector: ({ name }) => name ?? {} }),
  },
  { requiredKeys: ['rules'] },
);

/** Service insertions: beside the policies, which they must leave alone. */
const insertion = fc.record(
  {
    priority: fc.nat(2),
    appliedTo: seldom(applied),
    rules: fc.array(
      fc.record({
        direction: seldom(fc.constantFrom('in', 'out', 'both')),
        from: seldom(selection(GROUPS).filter(notEmpty)),
        to: seldom(selection(GROUPS).filter(notEmpty)),
        services: seldom(
          fc.array(fc.oneof(fc.constantFrom(...SERVICES), entry), { minLength: 1, maxLength: 2 }),
        ),
        through: fc.constantFrom('inspect', 'filter'),
        appliedTo: seldom(applied),
      }),
      { maxLength: 3 },
    ),
  },
  { requiredKeys: ['rules'] },
);

const portal = fc.record(
  {
    fail: fc.constantFrom('open', 'closed'),
    returns: fc.constantFrom('tag', 'record'),
    health: fc.record(
      {
        probe: fc.constant('http'),
        address: fc.constant('192.0.2.1'),
        source: fc.constant('192.0.2.2'),
        port: fc.nat(9).map((n) => n + 1),
        interval: fc.constantFrom(100, 200),
      },
      { requiredKeys: ['probe', 'address', 'source', 'port'] },
    ),
  },
  { requiredKeys: [] },
);

const workload = fc.record({
  labels,
  used: fc.boolean(),
  attach: fc.constantFrom('tap', 'veth'),
  v6: fc.boolean(),
  more: fc.option(addresses),
});

const bridge = fc.record(
  {
    southVlan: fc.constantFrom(5, 6),
    southInnerVlan: fc.constantFrom(7, 8),
    tracker: fc.constantFrom(...TRACKERS),
  },
  { requiredKeys: ['tracker'] },
);
/** Bridges with the same tags on either side: each once. */
const bridges = fc.uniqueArray(bridge, {
  maxLength: 3,
  selector: ({ southVlan, southInnerVlan }) => `${southVlan}.${southVlan && southInnerVlan}`,
});
const vxlan = { encapsulation: 'vxlan', local: '192.0.2.1', remotes: ['192.0.2.2', '192.0.2.3'] };
const tunnel = fc.oneof(
  some({
    netns: fc.constant('u'),
    interface: fc.constant('under'),
    port: fc.constantFrom(4789, 8472),
    mtu: fc.constant(1600),
  }).map((more) => ({ ...vxlan, ...more })),
  some({ options: fc.constant([{ class: 0x102, type: 131, data: '01020304' }]) }).map((more) => ({
    ...vxlan,
    encapsulation: 'geneve',
    ...more,
  })),
  fc.constant({ encapsulation: 'gre', local: '2001:db8::1', remotes: ['2001:db8::2'] }),
  some({ context: fc.constant('00'.repeat(16)) }).map((more) => ({
    encapsulation: 'nsh-ethernet',
    interface: 'under',
    remotes: ['02:00:00:00:00:02'],
    ...more,
  })),
);

const world = fc.record({
  tunnel: fc.option(fc.tuple(tunnel, some({ oversized: fc.constantFrom('refuse', 'fragment') }))),
  host: fc.option(
    fc.record(
      {
        default: fc.constantFrom('allow', 'drop'),
        tracking,
        timeouts: some({ icmp: fc.nat(3).map((n) => n + 1) }),
        limits: some({ halfOpen: fc.nat(3).map((n) => n + 1) }),
      },
      { requiredKeys: [] },
    ),
  ),
  segment: some({ vlan: fc.constantFrom(5, 6), tracker: fc.constantFrom('t', 'u') }),
  workloads: fc.tuple(...WORKLOADS.map(() => workload)),
  trackers: fc.tuple(
    ...TRACKERS.map(() =>
      fc.record({ labels, limits: fc.option(some({ halfOpen: fc.nat(3).map((n) => n + 1) })) }),
    ),
  ),
  edgePairs: fc.array(bridges, { minLength: 1, maxLength: 2 }),
  groups: fc.tuple(...GROUPS.map((_, i) => selection(GROUPS.slice(0, i)))),
  services: fc.tuple(...SERVICES.map(() => fc.array(entry, { minLength: 1, maxLength: 2 }))),
  policies: fc.array(policy, { maxLength: 4 }),
  insertions: fc.array(insertion, { maxLength: 2 }),
  portals: fc.tuple(portal, portal),
  tags: fc.subarray([1, 2, 3, 4, 5, 6], { minLength: 2, maxLength: 2 }),
});

function document(kind: Kind, name: string, spec: unknown, labels: Record<string, string> = {}): Document {
  const origin = { file: `${name}.yaml`, line: 1 };
  const rules = (spec as { rules?: unknown[] }).rules?.map((_, i) => i + 10);
  return parseDocument({
    apiVersion: 'headgate/v1',
    kind,
    metadata: { name, labels },
    spec: JSON.parse(JSON.stringify(spec)) as unknown,
    origin: rules ? { ...origin, rules } : origin,
  });
}

/** Every reference in these documents holds. */
export const documentSets: fc.Arbitrary<Document[]> = world.map(
  ({
    host,
    tunnel,
    segment,
    workloads,
    trackers,
    edgePairs,
    groups,
    services,
    policies,
    insertions,
    portals,
    tags,
  }) => [
    ...(host ? [document('Host', 'h', host)] : []),
    ...(tunnel ? [document('Tunnel', 'far', tunnel[0])] : []),
    document('Segment', 'lan', { ...segment, ...(tunnel && { vni: 7, tunnels: ['far'], ...tunnel[1] }) }),
    ...workloads.map(({ labels, attach, v6, more }, i) => {
      const own = [`${V4[i]}/24`, ...(v6 ? [`${V6[i]}/64`] : [])];
      const allowed = [...own.map((text) => text.slice(0, text.indexOf('/'))), ...(more ?? [])];
      const how =
        attach === 'tap'
          ? { tap: { netns: `n${i}`, name: 'eth0', addresses: own } }
          : { veth: { interface: `v${i}` } };
      const spec = {
        segment: 'lan',
        attach: how,
        ...((more || attach === 'veth') && { addresses: allowed }),
      };
      return document('Workload', WORKLOADS[i] ?? '', spec, labels as Record<string, string>);
    }),
    ...trackers.map(({ labels, limits }, i) =>
      document('Tracker', TRACKERS[i] ?? '', limits ? { limits } : {}, labels as Record<string, string>),
    ),
    ...edgePairs.map((bridges, i) =>
      document('EdgePair', `e${i}`, {
        south: { interface: `s${i}` },
        north: { interface: `n${i}` },
        // Tracker t is always one that judges.
        bridges: [{ tracker: 't' }, ...bridges.filter(({ southVlan }) => southVlan)].map((one) => ({
          ...one,
          northVlan: 'southVlan' in one ? one.southVlan : undefined,
          northInnerVlan: 'southInnerVlan' in one ? one.southInnerVlan : undefined,
        })),
      }),
    ),
    ...groups.map((spec, i) => document('Group', GROUPS[i] ?? '', spec)),
    ...services.map((entries, i) => document('Service', SERVICES[i] ?? '', { entries })),
    ...policies.map((spec, i) => document('SecurityPolicy', `p${i}`, spec)),
    ...insertions.map((spec, i) => document('ServiceInsertion', `i${i}`, { client: 'lan', ...spec })),
    document('Segment', 'wires', {}),
    ...portals.flatMap((spec, i) => [
      document('Workload', `wire${i}`, { segment: 'wires', attach: { nic: { interface: `q${i}` } } }),
      document('ServicePortal', `portal${i}`, { workload: `wire${i}`, ...spec }),
    ]),
    ...['inspect', 'filter'].map((service, i) =>
      document('ServiceTag', `tag-${service}`, {
        tag: tags[i],
        client: 'lan',
        service,
        portal: `portal${i}`,
      }),
    ),
  ],
);

export const packets: fc.Arbitrary<Packet> = fc
  .record({
    ends: fc.oneof(
      fc.tuple(fc.constantFrom(...V4, '192.0.2.1'), fc.constantFrom(...V4, '192.0.2.2')),
      fc.tuple(fc.constantFrom(...V6, 'fe80::1'), fc.constantFrom(...V6, '2001:db8::1')),
    ),
    protocol: fc.constantFrom(1, 6, 6, 6, 17, 47, 58, 132),
    ports: fc.tuple(fc.constantFrom(...PORTS, 1024), fc.constantFrom(...PORTS, 1024)),
    icmp: fc.tuple(fc.constantFrom(0, 8, 128), fc.nat(1)),
  })
  .map(({ ends, protocol, ports, icmp }) => ({
    protocol,
    source: ends[0],
    destination: ends[1],
    ...([6, 17, 132].includes(protocol) && { sourcePort: ports[0], destinationPort: ports[1] }),
    ...([1, 58].includes(protocol) && { icmpType: icmp[0], icmpCode: icmp[1] }),
  }));

export const places = fc.record({
  workload: fc.constantFrom(...WORKLOADS, 'tracker:t'),
  direction: fc.constantFrom('in', 'out'),
});
