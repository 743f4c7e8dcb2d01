import { describe, expect, test } from 'vitest';
import { editDistance, nearest, suggest } from '../../src/documents/nearest.js';
import { formatYaml, macOf, parseDocument, readDocuments } from '../../src/documents/index.js';
import { MAX_FILE_BYTES } from '../../src/documents/sources.js';
import { addressesOf, macFromName } from '../../src/documents/workload.js';
import { formatRange } from '../../src/documents/ip.js';
import { documents, errorsOf, make, yaml } from './document-helpers.js';

const policy = (rules: string) => yaml('SecurityPolicy', 'p', `rules:\n${rules}`);

describe('the nearest known name', () => {
  test('distance counts a swap of neighbours once', () => {
    expect(editDistance('srevices', 'services')).toBe(1);
    expect(editDistance('kitten', 'sitting')).toBe(3);
    expect(editDistance('', 'abc')).toBe(3);
  });
  test('near words are offered, far ones are not', () => {
    expect(nearest('servces', ['services', 'from'])).toBe('services');
    expect(nearest('xyz', ['services', 'from'])).toBeUndefined();
    expect(nearest('web', ['db'])).toBeUndefined();
    expect(suggest('xyz', ['a-long-one', 'b-long-one'])).toBe('known: a-long-one, b-long-one');
    expect(suggest('xyz', [])).toBe('there is none');
  });
});

describe('documents are read with their places', () => {
  test('a stream of several documents, with comments and empty ones', () => {
    const text = `# first\n---\n${yaml('Segment', 'lan', 'vlan: 5')}---\n---\n# c\n${policy('- {name: a, action: allow}\n\n- action: drop\n')}`;
    const read = documents(text);
    expect(read).toMatchObject([
      {
        kind: 'Segment',
        metadata: { name: 'lan', labels: {} },
        spec: { vlan: 5 },
        origin: { file: 'f1.yaml', line: 3 },
      },
      { kind: 'SecurityPolicy', origin: { line: 11, rules: [16, 18] } },
    ]);
  });

  test('JSON on one line is YAML too', () => {
    const rules = Array.from({ length: 200 }, (_, i) => ({
      name: `r${i}`,
      action: 'allow',
      from: { groups: ['a'] },
    }));
    expect(make('SecurityPolicy', 'p', { rules }).spec).toEqual({ rules });
  });

  test('aliases stand for what they name', () => {
    const [group] = documents(
      yaml('Group', 'g', 'addresses: &a [10.0.0.1]') +
        '---\n' +
        yaml('Service', 's', 'entries:\n- &e {protocol: tcp, ports: [1]}\n- *e'),
    );
    expect(group?.spec).toEqual({ addresses: ['10.0.0.1'] });
  });

  test('a TAP without mac gets one from the name, always the same, local and unicast', () => {
    const mac = macFromName('web-1');
    expect(mac).toBe(macFromName('web-1'));
    expect(mac).not.toBe(macFromName('web-2'));
    expect(parseInt(mac.slice(0, 2), 16) & 3).toBe(2);
    const [one] = documents(
      yaml('Workload', 'w', 'segment: lan\nattach: {tap: {name: eth0, mac: "02:AB:00:00:00:01"}}'),
    );
    expect(one?.kind === 'Workload' && macOf('w', one.spec)).toBe('02:ab:00:00:00:01');
    const [veth] = documents(yaml('Workload', 'w', 'segment: lan\nattach: {veth: {interface: v0}}'));
    expect(veth?.kind === 'Workload' && macOf('w', veth.spec)).toBe(undefined);
  });

  test('a workload may use what its document says, else the addresses of its TAP, and its link-local address', () => {
    const tap =
      'segment: lan\nattach: {tap: {name: eth0, mac: "02:00:00:00:00:01", addresses: [10.0.0.2/24, "fd00::2/64"]}}';
    const ranges = (text: string) => {
      const [one] = documents(yaml('Workload', 'w', text));
      return one?.kind === 'Workload' ? addressesOf('w', one.spec)?.map(formatRange) : [];
    };
    expect(ranges(tap)).toEqual(['10.0.0.2', 'fd00::2', 'fe80::ff:fe00:1']);
    expect(ranges(`${tap}\naddresses: [10.0.0.2, 10.0.0.3]`)).toEqual(['10.0.0.2/31']);
    expect(ranges('segment: lan\nattach: {veth: {interface: v0}}')).toBeUndefined();
  });
});

describe('errors name file, line, column, path and how to mend', () => {
  const workload = (tap: string, more = '') =>
    yaml('Workload', 'w', `segment: lan\nattach: {tap: ${tap}}${more}`);
  const cases: [what: string, text: string, error: string][] = [
    [
      'unknown kind',
      yaml('Segmnt', 'a', '{}'),
      'f.yaml:2:7: kind: unknown kind "Segmnt": did you mean "Segment"?',
    ],
    [
      'no kind',
      'apiVersion: headgate/v1\n',
      'f.yaml:1:1: kind: is missing: one of Segment, Workload, Tracker, EdgePair, Group, Service, SecurityPolicy, Tunnel, ServicePortal, ServiceTag, ServiceInsertion, ServiceChain, Host',
    ],
    [
      'no apiVersion',
      'kind: Segment\nmetadata: {name: a}\nspec: {}\n',
      'f.yaml:1:1: apiVersion: is missing: add apiVersion: headgate/v1',
    ],
    [
      'another apiVersion',
      yaml('Segment', 'a', '{}').replace('v1', 'v2'),
      'f.yaml:1:13: apiVersion: must be headgate/v1',
    ],
    [
      'a list as document',
      '- a\n',
      'f.yaml:1:1: a document is a map with apiVersion, kind, metadata and spec',
    ],
    [
      'unknown top-level field',
      `${yaml('Segment', 'a', '{}')}speck: 1\n`,
      'f.yaml:6:1: speck: unknown field "speck": did you mean "spec"?',
    ],
    [
      'unknown field',
      yaml('Segment', 'a', 'vlan: 5\ninnervlan: 6'),
      'f.yaml:6:3: spec.innervlan: unknown field "innervlan": did you mean "innerVlan"?',
    ],
    [
      'unknown field, nothing near',
      yaml('Group', 'a', 'zzzz: 5'),
      'f.yaml:5:3: spec.zzzz: unknown field "zzzz": known: workloads, addresses, groups, except',
    ],
    [
      'unknown field of a rule',
      policy('- action: allow\n  servces: [a]'),
      'f.yaml:7:5: spec.rules[0].servces: unknown field "servces": did you mean "services"?',
    ],
    [
      'unknown action',
      policy('- action: alow'),
      'f.yaml:6:13: spec.rules[0].action: unknown action "alow": did you mean "allow"?',
    ],
    [
      'no action',
      policy('- name: a'),
      'f.yaml:6:5: spec.rules[0].action: action is one of allow, drop, reject, pass',
    ],
    [
      'unknown category',
      yaml('SecurityPolicy', 'p', 'category: aplication\nrules: []'),
      'f.yaml:5:13: spec.category: unknown category "aplication": did you mean "application"?',
    ],
    [
      'empty field',
      policy('- action: allow\n  from:'),
      'f.yaml:7:5: spec.rules[0].from: is empty: give it a map, or remove the field',
    ],
    [
      'empty selection',
      policy('- action: allow\n  from: {}'),
      'f.yaml:7:5: spec.rules[0].from: selects nothing: give workloads, addresses or groups, or leave the field out for any',
    ],
    [
      'empty appliedTo',
      policy('- action: allow\n  appliedTo: {}'),
      'f.yaml:7:5: spec.rules[0].appliedTo: selects nothing: give workloads, trackers or groups, or leave the field out for all of them',
    ],
    [
      'addresses in appliedTo',
      policy('- action: allow\n  appliedTo: {addresses: [10.0.0.1]}'),
      'f.yaml:7:17: spec.rules[0].appliedTo.addresses: unknown field "addresses": known: workloads, trackers, groups, except',
    ],
    [
      'except alone',
      policy('- action: allow\n  from: {except: {groups: [a]}}'),
      'f.yaml:7:12: spec.rules[0].from.except: takes away from nothing: say beside it of what, such as workloads: {} for all workloads',
    ],
    [
      'except alone in a group',
      yaml('Group', 'g', 'except: {addresses: [10.0.0.1]}'),
      'f.yaml:5:3: spec.except: takes away from nothing: say beside it of what, such as workloads: {} for all workloads',
    ],
    [
      'empty except',
      policy('- action: allow\n  appliedTo: {groups: [a], except: {}}'),
      'f.yaml:7:30: spec.rules[0].appliedTo.except: is empty: give workloads, trackers or groups, or remove it',
    ],
    [
      'except in except',
      yaml('Group', 'g', 'groups: [a]\nexcept: {groups: [b], except: {groups: [c]}}'),
      'f.yaml:6:25: spec.except.except: unknown field "except": known: workloads, addresses, groups',
    ],
    [
      'empty services',
      policy('- action: allow\n  services: []'),
      'f.yaml:7:5: spec.rules[0].services: the list is empty: leave it out for any service',
    ],
    [
      'a helper where nothing is allowed',
      policy('- {action: drop, helper: ftp, services: [{protocol: tcp}]}'),
      'f.yaml:6:28: spec.rules[0].helper: a rule with the action drop has no data connections: leave it out',
    ],
    [
      'duplicate rule name',
      policy('- {name: a, action: allow}\n- {name: a, action: drop}'),
      'f.yaml:7:12: spec.rules[1].name: duplicate rule "a": rules of a policy need names of their own',
    ],
    [
      'unknown protocol',
      policy('- action: allow\n  services: [{protocol: tpc}]'),
      'f.yaml:7:27: spec.rules[0].services[0].protocol: unknown protocol "tpc": did you mean "tcp"? (or a number from 0 to 255)',
    ],
    [
      'no protocol',
      policy('- action: allow\n  services: [{ports: [1]}]'),
      'f.yaml:7:16: spec.rules[0].services[0].protocol: is missing: one of icmp, tcp, udp, icmpv6, sctp or a number from 0 to 255',
    ],
    [
      'port beyond 65535',
      yaml('Service', 's', 'entries:\n- {protocol: tcp, ports: [80, 65536]}'),
      'f.yaml:6:33: spec.entries[0].ports[1]: "65536": a port is a number from 0 to 65535 or a range like "8000-8100"',
    ],
    [
      'port range backwards',
      yaml('Service', 's', 'entries:\n- {protocol: tcp, ports: [9-8]}'),
      'f.yaml:6:29: spec.entries[0].ports[0]: "9-8": a port is a number from 0 to 65535 or a range like "8000-8100"',
    ],
    [
      'no ports',
      yaml('Service', 's', 'entries:\n- {protocol: tcp, ports: []}'),
      'f.yaml:6:21: spec.entries[0].ports: the list is empty: leave it out for any port',
    ],
    [
      'ports of ICMP',
      yaml('Service', 's', 'entries:\n- {protocol: icmp, ports: [80]}'),
      'f.yaml:6:22: spec.entries[0].ports: protocol icmp has no ports: remove ports, or set protocol to tcp, udp or sctp',
    ],
    [
      'ICMP type of TCP',
      yaml('Service', 's', 'entries:\n- {protocol: tcp, icmpType: 8}'),
      'f.yaml:6:31: spec.entries[0].icmpType: protocol tcp has no ICMP types: remove icmpType, or set protocol to icmp or icmpv6',
    ],
    [
      'ICMP code alone',
      yaml('Service', 's', 'entries:\n- {protocol: icmp, icmpCode: 8}'),
      'f.yaml:6:32: spec.entries[0].icmpCode: icmpCode needs icmpType: add it',
    ],
    [
      'name in capitals',
      yaml('Segment', 'Lan', '{}'),
      'f.yaml:3:18: metadata.name: "Lan" is not a name: use up to 63 of a-z, 0-9 and "-", beginning and ending with a letter or digit',
    ],
    [
      'a number as name',
      yaml('Segment', '12', '{}'),
      'f.yaml:3:18: metadata.name: must be text, not the number 12: quote it ("12")',
    ],
    [
      'a boolean as label',
      yaml('Segment', 'a', '{}', '{on: true}'),
      'f.yaml:3:34: metadata.labels.on: must be text, not the boolean true: quote it ("true")',
    ],
    [
      'a bad label key',
      yaml('Segment', 'a', '{}', '{-x: a}'),
      'f.yaml:3:30: metadata.labels.-x: "-x" is not a label key: use up to 63 letters, digits, "-", "_" and ".", with a DNS prefix before "/" if need be',
    ],
    [
      'VLAN 5000',
      yaml('Segment', 'a', 'vlan: 5000'),
      'f.yaml:5:9: spec.vlan: 5000 is out of bounds: a VLAN id is a number from 1 to 4094',
    ],
    [
      'VLAN as text',
      yaml('Segment', 'a', 'vlan: "5"'),
      'f.yaml:5:9: spec.vlan: a VLAN id is a number from 1 to 4094',
    ],
    [
      'inner VLAN alone',
      yaml('Segment', 'a', 'innerVlan: 5'),
      'f.yaml:5:14: spec.innerVlan: innerVlan needs vlan: add the outer tag',
    ],
    [
      'no attach',
      yaml('Workload', 'w', 'segment: lan\nattach: {}'),
      'f.yaml:6:3: spec.attach: needs one of tap, veth, nic',
    ],
    [
      'two attaches',
      yaml('Workload', 'w', 'segment: lan\nattach: {veth: {interface: a}, nic: {interface: b}}'),
      'f.yaml:6:3: spec.attach: takes one of tap, veth, nic, not veth and nic',
    ],
    [
      'long device name',
      workload('{name: abcdefghijklmnop}'),
      'f.yaml:6:24: spec.attach.tap.name: "abcdefghijklmnop" is not an interface name: 1 to 15 characters without spaces, "/" and ":"',
    ],
    [
      'a bad MAC',
      workload('{name: a, mac: "2:0:0:0:0:1"}'),
      'f.yaml:6:32: spec.attach.tap.mac: "2:0:0:0:0:1" is not a MAC: write it like 02:00:00:00:00:01 (quote it)',
    ],
    [
      'a group MAC',
      workload('{name: a, mac: "03:00:00:00:00:01"}'),
      'f.yaml:6:32: spec.attach.tap.mac: "03:00:00:00:00:01" is a group MAC: the first byte must be even',
    ],
    [
      'a TAP address without prefix',
      workload('{name: a, addresses: [10.0.0.1]}'),
      'f.yaml:6:39: spec.attach.tap.addresses[0]: "10.0.0.1" is not an interface address: write it with its prefix, like 10.0.1.2/24',
    ],
    [
      'two IPv4 gateways',
      workload('{name: a, gateway: [10.0.0.1, 10.0.0.2]}'),
      'f.yaml:6:27: spec.attach.tap.gateway: more than one gateway of a family: at most one IPv4 and one IPv6',
    ],
    [
      'a bad gateway',
      workload('{name: a, gateway: router}'),
      'f.yaml:6:36: spec.attach.tap.gateway: "router" is not an address: write it like 10.0.1.1 or 2001:db8::1',
    ],
    [
      'IPv6 below its least MTU',
      workload('{name: a, addresses: ["fd00::1/64"], mtu: 1000}'),
      'f.yaml:6:59: spec.attach.tap.mtu: IPv6 needs an MTU of at least 1280',
    ],
    [
      'host bits',
      yaml('Group', 'g', 'addresses: [10.0.0.1/24]'),
      'f.yaml:5:15: spec.addresses[0]: "10.0.0.1/24" has bits set behind its prefix: write 10.0.0.0/24 for the network or 10.0.0.1 for the one address',
    ],
    [
      'unknown operator',
      yaml('Group', 'g', 'workloads: {matchExpressions: [{key: a, operator: in}]}'),
      'f.yaml:5:53: spec.workloads.matchExpressions[0].operator: unknown operator "in": did you mean "In"?',
    ],
    [
      'In without values',
      yaml('Group', 'g', 'workloads: {matchExpressions: [{key: a, operator: In}]}'),
      'f.yaml:5:53: spec.workloads.matchExpressions[0].operator: operator In needs values: add a list',
    ],
    [
      'Exists with values',
      yaml('Group', 'g', 'workloads: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}'),
      'f.yaml:5:61: spec.workloads.matchExpressions[0].values: operator Exists takes no values: remove them',
    ],
    [
      'unknown default',
      yaml('Host', 'h', 'default: droop'),
      'f.yaml:5:12: spec.default: unknown default "droop": did you mean "drop"?',
    ],
    [
      'unknown timeout',
      yaml('Host', 'h', 'timeouts: {tcpOpenning: 5}'),
      'f.yaml:5:14: spec.timeouts.tcpOpenning: unknown field "tcpOpenning": did you mean "tcpOpening"?',
    ],
    [
      'more half-open connections than connections',
      yaml('Host', 'h', 'limits: {connections: 5, halfOpen: 6}'),
      'f.yaml:5:38: spec.limits.halfOpen: halfOpen is more than connections, 5, of which they are a part: lower it, or leave it out',
    ],
    [
      'a limit of nothing',
      yaml('Workload', 'w', 'segment: lan\nattach: {veth: {interface: v}}\nlimits: {newPerSecond: 0}'),
      'f.yaml:7:26: spec.limits.newPerSecond: needs at least 1',
    ],
    [
      'a map where a list belongs',
      yaml('Service', 's', 'entries: {}'),
      'f.yaml:5:3: spec.entries: must be a list, not a map',
    ],
    [
      'no spec',
      'apiVersion: headgate/v1\nkind: Segment\nmetadata: {name: a}\n',
      'f.yaml:1:1: spec: is missing: a map is needed',
    ],
  ];
  test.each(cases)('%s', (_what, text, error) => expect(errorsOf(text)).toEqual([error]));

  test('several errors come in the order of the file', () => {
    const lines = errorsOf(yaml('Segment', 'A', 'vlam: 1\nvlan: 0')).map((error) => error.split(':')[1]);
    expect(lines).toEqual(['3', '5', '6']);
  });

  test('a name twice names the first place, also across files', () => {
    const text = yaml('Segment', 'lan', '{}');
    const read = readDocuments([
      { file: 'a.yaml', text },
      { file: 'b.yaml', text: `\n${text}` },
    ]);
    expect(read.errors).toEqual([
      {
        file: 'b.yaml',
        line: 4,
        column: 18,
        path: 'metadata.name',
        message: 'duplicate Segment "lan": it is already in a.yaml:1; remove or rename one',
      },
    ]);
    expect(
      readDocuments([{ file: 'a.yaml', text: `${text}---\n${yaml('Group', 'lan', '{}')}` }]).errors,
    ).toEqual([]);
  });
});

describe('broken and hostile YAML is refused with its place', () => {
  const cases: [what: string, text: string, start: string][] = [
    [
      'tab',
      'a:\n\tb: 1\n',
      'f.yaml:2:1: broken YAML: Tabs are not allowed as indentation: indent with spaces',
    ],
    ['open bracket', 'a: [1\nb: 2', 'f.yaml:2:1: broken YAML: Flow sequence'],
    ['open quote', 'a: "b\n', 'f.yaml:2:1: broken YAML: Missing closing "quote'],
    ['nested on one line', 'a: b: c', 'f.yaml:1:4: broken YAML: Nested mappings'],
    ['duplicate key', 'a: 1\nb: 2\na: 3\n', 'f.yaml:3:1: duplicate key "a": remove one, or rename it'],
    ['a map as key', '? [a]\n: 1\n', 'f.yaml:1:3: a key must be text: quote it'],
    ['__proto__', 'a: {__proto__: {b: 1}}', 'f.yaml:1:5: the key "__proto__" is not allowed'],
    ['tag', 'a: !foo 1', 'f.yaml:1:4: Unresolved tag: !foo: remove the tag'],
    ['binary', 'a: !!binary aGk=', 'f.yaml:1:13: only text, numbers'],
    ['YAML 1.1', '%YAML 1.1\n---\na: yes\n', 'f.yaml:2:1: YAML 1.1 is not read: remove the %YAML directive'],
    ['unknown alias', 'a: *b', 'f.yaml:1:4: alias "*b" has no anchor before it'],
    [
      'alias in its own anchor',
      'a: &x\n  b: *x\n',
      'f.yaml:2:6: aliases expand to more than 10000 values, or contain themselves',
    ],
    ['deep flow', '['.repeat(100_000), 'f.yaml:1:65: nested deeper than 64 levels'],
    ['deep lists', '- '.repeat(100_000), 'f.yaml:1:129: nested deeper than 64 levels'],
    ['deep maps', '{a: '.repeat(100_000), 'f.yaml:1:'],
    ['deep indentation', Array.from({ length: 2000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'), 'f.yaml:'],
    ['too large', ' '.repeat(MAX_FILE_BYTES + 1), 'f.yaml:1:1: larger than 32 MiB: split the file'],
  ];
  test.each(cases)('%s', (_what, text, start) =>
    expect(errorsOf(text)[0]?.slice(0, start.length)).toBe(start),
  );

  test('a billion laughs stay few', () => {
    const levels = Array.from(
      { length: 12 },
      (_, i) => `k${i + 1}: &k${i + 1} [${Array(10).fill(`*k${i}`).join()}]`,
    );
    expect(errorsOf(['k0: &k0 [1]', ...levels].join('\n')).join()).toContain(
      'aliases expand to more than 10000 values',
    );
  });
});

describe('documents go to a store and come back', () => {
  const all = documents(
    yaml(
      'SecurityPolicy',
      'p',
      'rules:\n- action: allow\n  services: [web, {protocol: tcp, ports: [80, "1-2"]}]',
      '{a: b}',
    ),
    yaml(
      'Workload',
      'w',
      'segment: lan\nattach: {tap: {name: eth0, gateway: 10.0.0.1, addresses: [10.0.0.2/24]}}',
    ),
    yaml('Host', 'h', 'default: drop\ntimeouts: {icmp: 5}'),
  );
  test('as JSON, origin included', () => {
    expect(all.map((document) => parseDocument(JSON.parse(JSON.stringify(document))))).toEqual(all);
  });
  test('as YAML, origin apart', () => {
    const again = documents(formatYaml(all));
    const bare = ({ origin, ...rest }: (typeof all)[number]) => (
      expect(origin.line).toBeGreaterThan(0),
      rest
    );
    expect(again.map(bare)).toEqual(all.map(bare));
  });
  test('what is stored wrongly is refused', () => {
    const [document] = all;
    expect(() => parseDocument({ ...document, spec: { rulez: [] } })).toThrow(
      /f1.yaml:1:1: spec.rulez: unknown field "rulez": did you mean "rules"/,
    );
    expect(() => parseDocument({ ...document, origin: undefined })).toThrow(/origin/);
    expect(() => parseDocument({ ...document, kind: 'Gruop' })).toThrow(/did you mean "Group"/);
    expect(() => parseDocument(null)).toThrow(/unknown kind/);
  });
});
