// Why can't A reach B? Each puzzle breaks something for real in the bed of puzzles.test.ts, and names the one command
// whose answer says what it is. docs/troubleshooting.md is made of them.
import { createNamespace, deleteNamespace, execIn, ip, waitUntil } from '../../src/lab/namespaces.js';
import { document, type Bed, type Document } from './bed.js';

export interface Ground {
  bed: Bed;
  /** Ends of the veths of the workloads `tablet` (access) and `trunk`: devices here, namespaces of the other end. */
  devices: { tablet: string; trunk: string };
  netns: { tablet: string; trunk: string };
}

export interface Puzzle {
  title: string;
  /** What the operator sees. */
  symptom: string;
  /** In place of the documents that let everything pass. */
  documents?: Document[];
  /** Breaks it, beside the documents. */
  break?: (ground: Ground) => unknown;
  repair?: (ground: Ground) => unknown;
  /** The traffic that does not arrive: true when it did. */
  reaches: (ground: Ground) => Promise<boolean>;
  /** Arguments of `headgate`. A live trace runs while the traffic is tried. */
  command: string[];
  /** What its answer has to say. */
  says: string[];
  /** How it is mended. */
  mend: string;
}

type Fields = Record<string, unknown>;

export const MACS = { web: '02:00:00:00:00:01', db: '02:00:00:00:00:02', away: '02:00:00:00:00:09' };
const TABLET_MAC = '02:00:00:00:00:0b';

export const policy = (rules: Fields[], more: Fields = {}, name = 'shop'): Document =>
  document('SecurityPolicy', name, { ...more, rules });
const role = (name: string): Fields => ({ workloads: { matchLabels: { role: name } } });
const tcp = (port: number): Fields => ({ protocol: 'tcp', ports: [port] });
const toDb = (more: Fields = {}): Fields => ({
  name: 'web-to-db',
  from: role('web'),
  to: role('db'),
  services: [tcp(5432)],
  action: 'allow',
  ...more,
});

const tcpToDb = async ({ bed }: Ground): Promise<boolean> =>
  (await bed.agent('web').tcp(bed.ipv4('db'), 5432, 300)).outcome === 'reached';
const ping = async ({ bed }: Ground, to: string): Promise<boolean> =>
  (await bed.agent('web').ping(to, 300)).outcome === 'reached';
const SIMULATE = ['trace', '--simulate', '--from', 'web', '--to', 'db', '--port', '5432'];
const INJECT = ['trace', '--inject', ...SIMULATE.slice(2)];
const live = (...filter: string[]): string[] => ['trace', '--live', '-o', 'wide', '-n', '1', ...filter];

/** Sends a line of scapy from a device. */
const scapy = (netns: string, packet: string, times = 1) =>
  execIn(netns, [
    '/usr/bin/python3',
    '-c',
    `from scapy.all import *\nsendp([${packet}] * ${times}, iface="eth0", verbose=0)`,
  ]);
const udpFrom = (source: string, vlan = '') =>
  `Ether(src="${source}", dst="${MACS.db}")${vlan} / IP(src="10.77.0.7", dst="10.77.0.2") / UDP(dport=53)`;

/** Connections that an edit ends: each ends with its first frame. */
const OLD = 20;
let used = 0;

export const PUZZLES: Puzzle[] = [
  {
    title: 'The rule stands at one end only',
    symptom: 'web may send to db, says the policy. Nothing arrives.',
    documents: [policy([toDb({ direction: 'out' })])],
    reaches: tcpToDb,
    command: SIMULATE,
    says: [
      'ok     classify   web out: allow by shop/web-to-db',
      'db in: drop by the default',
      'direction out',
    ],
    mend: 'Both ends judge a connection. Leave `direction` out of the rule: it then stands at both.',
  },
  {
    title: 'The rule is for another group',
    symptom: 'The rule allows the port to the group of databases.',
    documents: [
      document('Group', 'databases', { workloads: { matchLabels: { role: 'database' } } }),
      policy([toDb({ to: { groups: ['databases'] } })]),
    ],
    reaches: tcpToDb,
    command: SIMULATE,
    says: ['nearest: shop/web-to-db', 'to does not hold', '10.77.0.2'],
    mend: 'The label of db is `role: db`, the group asks for `role: database`: change one of them.',
  },
  {
    title: 'The address is taken out again',
    symptom: 'The rule allows the whole network.',
    documents: [
      policy([toDb({ to: { addresses: ['10.77.0.0/24'], except: { addresses: ['10.77.0.0/30'] } } })]),
    ],
    reaches: tcpToDb,
    command: SIMULATE,
    says: ['nearest: shop/web-to-db', 'to holds 10.77.0.2, but its except takes it out'],
    mend: 'Make `except` narrower: it is subtracted from all that the selection holds.',
  },
  {
    title: 'A rule before it drops it',
    symptom: 'There is a rule that allows it, plain to see.',
    documents: [policy([{ name: 'no-databases', to: role('db'), action: 'drop' }, toDb()])],
    reaches: tcpToDb,
    command: SIMULATE,
    says: ['web out: drop by shop/no-databases', 'nearest: shop/web-to-db', 'stands behind'],
    mend: 'The first rule that matches decides: put the narrow one first.',
  },
  {
    title: 'A policy of an earlier category drops it',
    symptom: 'The rule is the first of its policy, and still does nothing.',
    documents: [
      policy([toDb()]),
      policy(
        [{ name: 'all', action: 'drop' }],
        { category: 'emergency', appliedTo: role('db') },
        'quarantine',
      ),
    ],
    reaches: tcpToDb,
    command: SIMULATE,
    says: ['db in: drop by quarantine/all', 'nearest: shop/web-to-db'],
    mend: 'Emergency comes before application. When db is clean: `headgate delete securitypolicy quarantine`.',
  },
  {
    title: 'Another port',
    symptom: 'The rule is there, for the right machines.',
    documents: [policy([toDb({ services: [tcp(5433)] })])],
    reaches: tcpToDb,
    command: SIMULATE,
    says: ['services (tcp 5433) do not hold', 'tcp 5432'],
    mend: 'The port in the rule is wrong, or the client uses another than was thought.',
  },
  {
    title: 'Another protocol',
    symptom: 'The port is allowed.',
    documents: [policy([toDb({ services: [{ protocol: 'udp', ports: [5432] }] })])],
    reaches: tcpToDb,
    command: SIMULATE,
    says: ['services (udp 5432) do not hold', 'tcp 5432'],
    mend: 'Ports belong to a protocol: allow TCP.',
  },
  {
    title: 'The rule only observes',
    symptom: '`headgate get rules` shows that the rule is hit.',
    documents: [policy([toDb({ mode: 'observe' })])],
    reaches: tcpToDb,
    command: SIMULATE,
    says: ['drop by the default', 'shop/web-to-db', 'observe mode'],
    mend: 'A rule in observe mode counts and decides nothing: `headgate promote shop/web-to-db`.',
  },
  {
    title: 'The policy is applied to others',
    symptom: 'The rules are right; the policy was copied from another application.',
    documents: [policy([toDb()], { appliedTo: role('app') })],
    reaches: tcpToDb,
    command: SIMULATE,
    says: ['nearest: shop/web-to-db', 'the policy does not apply to'],
    mend: 'Change `appliedTo` of the policy, or the labels.',
  },
  {
    title: 'It works over IPv4 alone',
    symptom: 'Some clients reach db, others wait for long: those that prefer IPv6.',
    documents: [policy([toDb({ to: { addresses: ['10.77.0.2'] } })])],
    reaches: async ({ bed }) => (await bed.agent('web').tcp(bed.ipv6('db'), 5432, 300)).outcome === 'reached',
    command: [...SIMULATE, '--family', '6'],
    says: ['nearest: shop/web-to-db', 'to does not hold', 'fd77::2'],
    mend: 'The rule names the IPv4 address: name the workload or a group, which hold both.',
  },
  {
    title: 'The workload has another MAC than its document says',
    symptom: 'After a restore from a backup web reaches nobody.',
    break: ({ bed }) => ip('-n', bed.netns('web'), 'link', 'set', 'eth0', 'address', '02:66:66:66:66:66'),
    repair: ({ bed }) => ip('-n', bed.netns('web'), 'link', 'set', 'eth0', 'address', MACS.web),
    reaches: tcpToDb,
    command: live('--dropped', '--workload', 'web'),
    says: ['drop   guard      spoofed-mac', 'it used 02:66:66:66:66:66', MACS.web],
    mend: 'Give the device its MAC, or the document the new one.',
  },
  {
    title: 'The workload uses an address that is not its own',
    symptom: 'A second address was added inside web.',
    break: ({ bed }) => ip('-n', bed.netns('web'), 'address', 'add', '10.77.0.66/24', 'dev', 'eth0'),
    repair: ({ bed }) => ip('-n', bed.netns('web'), 'address', 'delete', '10.77.0.66/24', 'dev', 'eth0'),
    reaches: ({ bed }) =>
      execIn(bed.netns('web'), ['ping', '-n', '-c', '1', '-W', '1', '-I', '10.77.0.66', bed.ipv4('db')]).then(
        () => true,
        () => false,
      ),
    command: live('--dropped', '--workload', 'web'),
    says: ['drop   guard      spoofed-arp', '10.77.0.66', '10.77.0.1'],
    mend: 'Add it to `spec.addresses` of the workload.',
  },
  {
    title: 'A VLAN that no segment has',
    symptom: 'A machine behind the trunk was moved to VLAN 11.',
    break: () => undefined,
    reaches: async ({ netns }) => {
      await scapy(netns.trunk, udpFrom('02:00:00:00:00:0c', ' / Dot1Q(vlan=11)'));
      return false;
    },
    command: live('--dropped', 'vlan'),
    says: ['drop   guard      vlan-unmapped', '11', '10'],
    mend: 'Make a segment with `vlan: 11` and a workload on it, or move the machine back.',
  },
  {
    title: 'Tagged frames from an access port',
    symptom: 'A VLAN interface was configured inside web.',
    reaches: async ({ bed }) => {
      await scapy(bed.netns('web'), udpFrom(MACS.web, ' / Dot1Q(vlan=5)'));
      return false;
    },
    command: live('--dropped', 'vlan'),
    says: ['drop   guard      vlan-not-allowed', 'VLAN 5'],
    mend: 'Only trunks (`attach.nic`) carry tags: the workload has to send untagged.',
  },
  {
    title: 'The MTU on the way is smaller',
    symptom: 'The handshake works, then the connection hangs. Small pings pass, large ones do not.',
    break: async (ground) => {
      ip('link', 'set', ground.devices.tablet, 'mtu', '600');
      await waitUntil('small pings pass', () => ping(ground, '10.77.0.7'));
    },
    repair: ({ devices }) => ip('link', 'set', devices.tablet, 'mtu', '1500'),
    reaches: ({ bed }) =>
      execIn(bed.netns('web'), ['ping', '-n', '-c', '1', '-W', '1', '-s', '1200', '10.77.0.7']).then(
        () => true,
        () => false,
      ),
    command: live('--dropped', 'greater 1000'),
    says: ['drop   transmit', 'dropped at transmit (tablet in): output-too-big', '1242'],
    mend: 'Give all devices of the segment one MTU.',
  },
  {
    title: 'An ARP entry is stale',
    symptom: 'db was rebuilt with another MAC; only web cannot reach it.',
    break: ({ bed }) =>
      ip(
        '-n',
        bed.netns('web'),
        'neighbour',
        'replace',
        bed.ipv4('db'),
        'lladdr',
        '02:00:00:00:00:99',
        'dev',
        'eth0',
      ),
    repair: ({ bed }) => ip('-n', bed.netns('web'), 'neighbour', 'delete', bed.ipv4('db'), 'dev', 'eth0'),
    reaches: tcpToDb,
    command: live('--workload', 'web', 'tcp port 5432'),
    says: ['02:00:00:00:00:99 is not known in segment lan', '10.77.0.2 is db, whose MAC is'],
    mend: 'No workload has that MAC. In web: `ip neighbour flush dev eth0`.',
  },
  {
    title: 'There is no way back',
    symptom: 'The policy allows it, and frames reach db.',
    break: ({ bed }) => ip('-n', bed.netns('db'), 'route', 'delete', '10.77.0.0/24'),
    repair: ({ bed }) => ip('-n', bed.netns('db'), 'route', 'add', '10.77.0.0/24', 'dev', 'eth0'),
    reaches: tcpToDb,
    command: [...INJECT, '--wait', '1'],
    says: ['delivered to db', 'nothing came back'],
    mend: 'Headgate delivers; db does not answer: look at its routes and its own firewall.',
  },
  {
    title: 'Nothing listens',
    symptom: 'The connection is refused at once.',
    reaches: async ({ bed }) => (await bed.agent('web').tcp(bed.ipv4('db'), 5433, 300)).outcome === 'reached',
    command: ['trace', '--inject', '--from', 'web', '--to', 'db', '--port', '5433', '--wait', '1'],
    says: ['delivered to db', 'db refuses it: nothing listens on the port'],
    mend: 'db itself answers with RST: start the service, or use the port that it has.',
  },
  {
    title: 'A rule rejects it',
    symptom: 'The connection is refused at once, though the service runs.',
    documents: [policy([toDb({ action: 'reject' })])],
    reaches: tcpToDb,
    command: SIMULATE,
    says: ['reject by shop/web-to-db', 'rejected'],
    mend: 'The RST is from Headgate, in the name of db: change the rule.',
  },
  {
    title: 'The destination is not attached',
    symptom: 'A machine was started anew and is not reached since.',
    documents: [
      policy([{ name: 'all', action: 'allow' }]),
      document('Workload', 'away', {
        segment: 'lan',
        attach: { tap: { netns: 'hg-away', name: 'eth0', mac: MACS.away, addresses: ['10.77.0.9/24'] } },
      }),
    ],
    reaches: (ground) => ping(ground, '10.77.0.9'),
    command: ['trace', '--simulate', '--from', 'web', '--to', 'away', '--protocol', 'icmp'],
    says: ['output-detached', 'away'],
    mend: '`headgate get workloads` says what it waits for; `headgate events` since when.',
  },
  {
    title: "The destination's device is down",
    symptom: 'db was reached until a minute ago.',
    break: ({ bed }) => ip('-n', bed.netns('db'), 'link', 'set', 'eth0', 'down'),
    repair: async ({ bed }) => {
      ip('-n', bed.netns('db'), 'link', 'set', 'eth0', 'up');
      await waitUntil('db is back', () => tcpToDb({ bed } as Ground));
    },
    reaches: tcpToDb,
    command: [...INJECT, '--wait', '0'],
    says: ['dropped at transmit (db in): output-down'],
    mend: 'In db: `ip link set eth0 up`.',
  },
  {
    title: 'They are on different segments',
    symptom: 'Both are up, the policy allows everything.',
    reaches: (ground) => ping(ground, '10.77.1.1'),
    command: ['trace', '--simulate', '--from', 'web', '--to', 'apart', '--protocol', 'icmp'],
    says: ['apart is on segment other, web on segment lan: frames need a router between them'],
    mend: 'A segment is a switch: route between them, or put both on one.',
  },
  {
    title: 'An edit ended the connection',
    symptom: 'A connection that had been open for days was reset.',
    documents: [policy([toDb({ onChange: 'reset' })])],
    break: async ({ bed }) => {
      for (let i = 0; i < OLD; i++) await bed.agent('web').hold(`old-${i}`, bed.ipv4('db'), 5432);
      await bed.apply(policy([toDb({ action: 'drop', onChange: 'reset' })]));
    },
    reaches: async ({ bed }) =>
      (await bed.agent('web').use(`old-${used++ % OLD}`, 300)).outcome === 'reached',
    command: live('--dropped', 'tcp port 5432'),
    says: ['connection-reset', 'shop/web-to-db'],
    mend: 'The rule has `onChange: reset`: with `keep` connections that were allowed go on.',
  },
  {
    title: 'A broadcast storm',
    symptom: 'ARP gets answers only now and then.',
    reaches: async ({ bed }) => {
      const frame = `Ether(src="${MACS.web}", dst="ff:ff:ff:ff:ff:ff") / ARP(hwsrc="${MACS.web}", psrc="10.77.0.1", pdst="10.77.0.250")`;
      await execIn(bed.netns('web'), [
        '/usr/bin/python3',
        '-c',
        `
from scapy.all import *
import socket
frame = bytes(${frame})
one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
one.bind(("eth0", 0))
for i in range(40000): one.send(frame)
`,
      ]);
      return false;
    },
    command: live('--dropped', 'arp'),
    says: ['drop   locate     flood-limited', '2,000'],
    mend: 'Find the loop, or what scans. The limit keeps the others of the segment alive.',
  },
  {
    title: 'A workload has begun as much as it may',
    symptom: 'What web has open works, and others work; web begins nothing new.',
    break: async (here) => {
      const web = ground(here).find(({ metadata }) => metadata.name === 'web') as Document;
      await here.bed.apply({ ...web, spec: { ...web.spec, limits: { connections: 3 } } });
      for (let i = 0; i < 3; i++) await here.bed.agent('web').hold(`many-${i}`, here.bed.ipv4('db'), 5432);
    },
    reaches: tcpToDb,
    command: live('--dropped', 'tcp port 5432'),
    says: ['drop   track      connections-quota'],
    mend: '`headgate top -n 1` has how much it holds and may; raise `limits` of the workload if that is too little.',
  },
  {
    title: 'The connection table is full',
    symptom: 'What is connected works; nothing new gets through.',
    break: async ({ bed }) => {
      await execIn(bed.netns('web'), [
        '/usr/bin/python3',
        '-c',
        `
import socket
silent = 0
for source in range(20000, 22000):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("", source))
        one.connect(("${bed.ipv4('db')}", 53))
        one.send(b"x")
        one.settimeout(0.2)
        if silent < 5:
            try: one.recv(10)
            except OSError: silent += 1
`,
      ]);
    },
    reaches: tcpToDb,
    command: live('--dropped', 'tcp port 5432'),
    says: ['drop   track      connections-full'],
    mend: 'Raise `spec.connections` in the host file; `headgate top` shows who holds them.',
  },
];

/** What the puzzles happen on: all is allowed unless a puzzle says otherwise. */
export function ground({ bed, devices }: Pick<Ground, 'bed' | 'devices'>): Document[] {
  const workload = (name: string, spec: Fields, labels: Record<string, string> = {}): Document => {
    const made = document('Workload', name, spec);
    return { ...made, metadata: { ...made.metadata, labels } };
  };
  const tap = (name: 'web' | 'db') => ({
    netns: bed.netns(name),
    name: 'eth0',
    mac: MACS[name],
    addresses: [`${bed.ipv4(name)}/24`, `${bed.ipv6(name)}/64`],
  });
  return [
    document('Segment', 'lan', {}),
    document('Segment', 'other', {}),
    document('Segment', 'red', { vlan: 10 }),
    workload('web', { segment: 'lan', attach: { tap: tap('web') } }, { role: 'web' }),
    workload('db', { segment: 'lan', attach: { tap: tap('db') } }, { role: 'db' }),
    workload('tablet', { segment: 'lan', attach: { veth: { interface: devices.tablet } } }),
    workload('apart', {
      segment: 'other',
      attach: { tap: { netns: bed.netns('db'), name: 'apart0', addresses: ['10.77.1.1/24'] } },
    }),
    workload('behind-trunk', { segment: 'red', attach: { nic: { interface: devices.trunk } } }),
  ];
}

/** Makes what the bed does not make: the veths. */
export function makeVeths({ devices, netns }: Pick<Ground, 'devices' | 'netns'>): void {
  for (const end of ['tablet', 'trunk'] as const) {
    createNamespace(netns[end]);
    ip('link', 'add', devices[end], 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns[end]);
    ip('link', 'set', devices[end], 'up');
    ip('-n', netns[end], 'link', 'set', 'eth0', 'address', TABLET_MAC);
    ip('-n', netns[end], 'link', 'set', 'eth0', 'up');
  }
  ip('-n', netns.tablet, 'address', 'add', '10.77.0.7/24', 'dev', 'eth0');
}

export function deleteVeths({ netns }: Pick<Ground, 'netns'>): void {
  for (const end of ['tablet', 'trunk'] as const) deleteNamespace(netns[end]);
}
