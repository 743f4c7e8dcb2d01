// What policies of a drawn datacenter speak of: services, and groups of workloads and of networks outside.
import type { Draft, Machine } from './datacenter.js';
import type { Random } from './random.js';

export const SERVICES: Record<string, object[]> = {
  dns: [
    { protocol: 'udp', ports: [53] },
    { protocol: 'tcp', ports: [53] },
  ],
  ntp: [{ protocol: 'udp', ports: [123] }],
  dhcp: [{ protocol: 'udp', ports: ['67-68'] }],
  web: [{ protocol: 'tcp', ports: [80, 443] }],
  'web-alt': [{ protocol: 'tcp', ports: [8080, 8443, '8000-8009'] }],
  quic: [{ protocol: 'udp', ports: [443] }],
  ssh: [{ protocol: 'tcp', ports: [22] }],
  rdp: [
    { protocol: 'tcp', ports: [3389] },
    { protocol: 'udp', ports: [3389] },
  ],
  postgres: [{ protocol: 'tcp', ports: [5432] }],
  mysql: [{ protocol: 'tcp', ports: [3306, 33060] }],
  oracle: [{ protocol: 'tcp', ports: ['1521-1530'] }],
  mssql: [
    { protocol: 'tcp', ports: [1433] },
    { protocol: 'udp', ports: [1434] },
  ],
  redis: [{ protocol: 'tcp', ports: [6379, '16379-16384'] }],
  memcached: [{ protocol: 'tcp', ports: [11211] }],
  kafka: [{ protocol: 'tcp', ports: ['9092-9094'] }],
  amqp: [{ protocol: 'tcp', ports: [5671, 5672, 15672] }],
  mqtt: [{ protocol: 'tcp', ports: [1883, 8883] }],
  ldap: [
    { protocol: 'tcp', ports: [389, 636] },
    { protocol: 'udp', ports: [389] },
  ],
  kerberos: [
    { protocol: 'tcp', ports: [88, 464] },
    { protocol: 'udp', ports: [88, 464] },
  ],
  smb: [{ protocol: 'tcp', ports: [445] }],
  nfs: [
    { protocol: 'tcp', ports: [111, 2049] },
    { protocol: 'udp', ports: [111, 2049] },
  ],
  iscsi: [{ protocol: 'tcp', ports: [3260] }],
  syslog: [
    { protocol: 'udp', ports: [514] },
    { protocol: 'tcp', ports: [6514] },
  ],
  snmp: [{ protocol: 'udp', ports: [161, 162] }],
  metrics: [{ protocol: 'tcp', ports: ['9090-9110', 9256] }],
  smtp: [{ protocol: 'tcp', ports: [25, 465, 587] }],
  imap: [{ protocol: 'tcp', ports: [143, 993] }],
  ftp: [{ protocol: 'tcp', ports: [20, 21, '50000-50100'] }],
  sip: [
    { protocol: 'udp', ports: [5060, '16384-32767'] },
    { protocol: 'tcp', ports: [5060, 5061] },
  ],
  diameter: [{ protocol: 'sctp', ports: [3868] }],
  bgp: [{ protocol: 'tcp', ports: [179] }],
  ping: [
    { protocol: 'icmp', icmpType: 8 },
    { protocol: 'icmpv6', icmpType: 128 },
  ],
  'path-errors': [
    { protocol: 'icmp', icmpType: 3, icmpCode: 4 },
    { protocol: 'icmp', icmpType: 11 },
    { protocol: 'icmpv6', icmpType: 2 },
  ],
  vxlan: [{ protocol: 'udp', ports: [4789] }],
  ipsec: [{ protocol: 'udp', ports: [500, 4500], sourcePorts: [500, 4500] }, { protocol: 50 }],
  gre: [{ protocol: 47 }],
};

/** Groups by what they are good for. */
export interface GroupNames {
  /** Workloads of one tier of one application. */
  parts: string[];
  /** Wider sets of workloads. */
  wide: string[];
  /** Networks outside. */
  networks: string[];
}

export function drawGroups(
  machines: readonly Machine[],
  random: Random,
): { groups: Draft[]; names: GroupNames } {
  const groups: Draft[] = [];
  const names: GroupNames = { parts: [], wide: [], networks: [] };
  const add = (into: string[], name: string, spec: Record<string, unknown>) => {
    into.push(name);
    groups.push({ kind: 'Group', name, spec });
  };
  const distinct = (of: (machine: Machine) => string | undefined) => [...new Set(machines.map(of))].sort();
  const labelled = (matchLabels: Record<string, string>) => ({ workloads: { matchLabels } });
  const envs = distinct(({ env }) => env) as string[];
  const tiers = distinct(({ tier }) => tier) as string[];
  const apps = distinct(({ app }) => app) as string[];
  const tags = distinct(({ tag }) => tag).filter((tag) => tag !== undefined);

  for (const part of distinct(({ app, tier }) => `${app} ${tier}`) as string[]) {
    const [app = '', tier = ''] = part.split(' ');
    add(names.parts, `${app}-${tier}`, labelled({ app, tier }));
  }
  for (const app of apps) {
    // An application is the sum of its tiers.
    const parts = names.parts.filter((name) => tiers.some((tier) => name === `${app}-${tier}`));
    add(names.wide, `app-${app}`, { groups: parts });
  }
  for (const env of envs) add(names.wide, `env-${env}`, labelled({ env }));
  for (const tier of tiers) add(names.wide, `tier-${tier}`, labelled({ tier }));
  for (const tag of tags) add(names.wide, `tag-${tag}`, labelled({ tag }));
  for (const pair of distinct(({ env, tier }) => `${env} ${tier}`) as string[]) {
    const [env = '', tier = ''] = pair.split(' ');
    const matchExpressions = [
      { key: 'env', operator: 'In', values: [env] },
      { key: 'tier', operator: 'In', values: [tier] },
    ];
    add(names.wide, `${env}-${tier}`, { workloads: { matchExpressions } });
  }
  const tested = envs.filter((env) => env !== 'prod');
  for (const tier of tiers) {
    // All of a tier but what is of no use to others; where that leaves any.
    const old = (machine: Machine) => machine.tag === 'legacy' || machine.tag === 'backup';
    if (!machines.some((machine) => machine.tier === tier && !old(machine))) continue;
    const except = {
      workloads: { matchExpressions: [{ key: 'tag', operator: 'In', values: ['legacy', 'backup'] }] },
    };
    add(names.wide, `modern-${tier}`, { groups: [`tier-${tier}`], except });
  }
  if (tested.length > 0) add(names.wide, 'not-production', { groups: tested.map((env) => `env-${env}`) });
  addNetworks((name, spec) => add(names.networks, name, spec), apps.length, random);
  return { groups, names };
}

function addNetworks(
  add: (name: string, spec: Record<string, unknown>) => void,
  apps: number,
  random: Random,
): void {
  add('offices', { addresses: ['192.168.0.0/20', '192.168.32.0-192.168.35.127', 'fd01::/48'] });
  add('vpn', { addresses: ['172.20.0.0/16', 'fd02::/56'] });
  add('operators', { addresses: ['192.168.200.0/28', '192.168.200.32/28', 'fd01:0:0:ff::/64'] });
  add('resolvers', { addresses: ['172.31.0.2', '172.31.0.3', 'fd03::2', 'fd03::3'] });
  add('monitoring', { addresses: ['172.31.4.0/24', 'fd03:0:0:4::/64'] });
  add('staff', {
    groups: ['offices', 'vpn'],
    except: { groups: ['operators'], addresses: ['192.168.15.0/24'] },
  });
  for (let i = 1; i <= 4 + apps / 2; i++)
    add(`partner-${i}`, {
      addresses: Array.from({ length: random.between(1, 12) }, () => outside(random)),
    });
  for (let i = 1; i <= 3; i++)
    add(`feed-${i}`, { addresses: Array.from({ length: 200 }, () => outside(random, true)) });
}

/** An address or network outside the datacenter; `single`: mostly one address. */
export function outside(random: Random, single = false): string {
  if (random.chance(0.2)) {
    const network = `2001:db8:${random.below(65536).toString(16)}`;
    if (single) return `${network}::${random.between(1, 65535).toString(16)}`;
    return random.pick([`${network}::/48`, `${network}:${random.between(1, 255).toString(16)}::/64`]);
  }
  const first = random.pick([random.between(11, 99), random.between(101, 126), random.between(128, 168)]);
  const parts = [first, random.below(256), random.below(256), random.below(256)];
  const length = single && random.chance(0.8) ? 32 : random.pick([16, 20, 22, 24, 24, 26, 28, 29, 32, 32]);
  const value = parts.reduce((sum, part) => sum * 256 + part, 0);
  const network = Math.floor(value / 2 ** (32 - length)) * 2 ** (32 - length);
  const text = [24, 16, 8, 0].map((shift) => Math.floor(network / 2 ** shift) % 256).join('.');
  return length === 32 ? text : `${text}/${length}`;
}
