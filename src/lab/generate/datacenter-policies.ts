// Draws the policies of a datacenter: 20 to 50 rules each, all different.
//
//   application     between the tiers of an application, its clients and the applications that it uses
//   environment     what a tier may do in an environment; `pass` leaves the rest to applications
//   infrastructure  names, time, monitoring, backup, administration
//   emergency       what is cut off now, and who is let through all the same
import type { DatacenterSize, Draft, Machine } from './datacenter.js';
import type { GroupNames } from './datacenter-things.js';
import { outside } from './datacenter-things.js';
import type { Random, Weighted } from './random.js';

type Fields = Record<string, unknown>;

interface Style {
  actions: Weighted<string>;
  /** Where a policy of this category applies. */
  appliedTo(machine: Machine, random: Random): Fields | undefined;
  services: readonly string[];
}

const TIER_SERVICES: Record<string, readonly string[]> = {
  web: ['web', 'web-alt', 'quic'],
  app: ['web-alt', 'amqp', 'metrics', 'mqtt', 'diameter', 'sip'],
  db: ['postgres', 'mysql', 'oracle', 'mssql', 'nfs', 'iscsi'],
  cache: ['redis', 'memcached'],
  queue: ['kafka', 'amqp', 'mqtt'],
};

const labelled = (matchLabels: Record<string, string>): Fields => ({ workloads: { matchLabels } });

const STYLES: Record<string, Style> = {
  application: {
    actions: [
      ['allow', 84],
      ['drop', 9],
      ['reject', 6],
      ['pass', 1],
    ],
    appliedTo: ({ app }) => labelled({ app }),
    services: ['web', 'web-alt', 'ping', 'ssh', 'smtp', 'ftp', 'ldap', 'imap', 'metrics'],
  },
  environment: {
    actions: [
      ['allow', 45],
      ['drop', 25],
      ['pass', 18],
      ['reject', 12],
    ],
    appliedTo: ({ env, tier, tag }, random) =>
      random.weighted([
        [labelled({ env, tier }), 60],
        [{ groups: [`tier-${tier}`] }, 25],
        [tag === undefined ? labelled({ env, tier }) : { groups: [`tag-${tag}`] }, 12],
        [{ groups: [`env-${env}`] }, 3],
      ]),
    services: ['ssh', 'rdp', 'smb', 'nfs', 'iscsi', 'ftp', 'oracle', 'mysql', 'smtp', 'path-errors', 'sip'],
  },
  infrastructure: {
    actions: [
      ['allow', 78],
      ['drop', 12],
      ['pass', 10],
    ],
    appliedTo: ({ env, tier }, random) =>
      random.weighted([
        [undefined, 10],
        [labelled({ tier }), 20],
        [labelled({ env, tier }), 70],
      ]),
    services: [
      ...['dns', 'ntp', 'dhcp', 'syslog', 'snmp', 'metrics', 'ldap', 'kerberos', 'ssh', 'ping'],
      ...['path-errors', 'bgp', 'vxlan', 'ipsec', 'gre'],
    ],
  },
  emergency: {
    actions: [
      ['drop', 62],
      ['pass', 15],
      ['allow', 13],
      ['reject', 10],
    ],
    appliedTo: ({ app, env, tier }, random) =>
      random.weighted([
        [undefined, 6],
        [labelled({ app }), 64],
        [labelled({ env, tier }), 30],
      ]),
    services: ['smb', 'rdp', 'ssh', 'web', 'dns', 'ftp', 'gre', 'ping'],
  },
};

const CATEGORIES: Weighted<string> = [
  ['application', 70],
  ['environment', 17],
  ['infrastructure', 8],
  ['emergency', 5],
];
/** The first policies have these, so that a small set has all of them, too. */
const FIRST = ['application', 'environment', 'infrastructure', 'emergency'];

const MAX_ATTEMPTS = 1000;

export function drawPolicies(
  machines: readonly Machine[],
  names: GroupNames,
  { rules, policyRules: [fewest, most] = [20, 50] }: DatacenterSize,
  random: Random,
): Draft[] {
  const draw = new RuleDraw(machines, names, random);
  const policies: Draft[] = [];
  for (let left = rules; left > 0;) {
    const count = Math.min(left, rules < 4 * fewest ? Math.ceil(rules / 4) : random.between(fewest, most));
    left -= count;
    const category = FIRST[policies.length] ?? random.weighted(CATEGORIES);
    policies.push(draw.policy(category, count, policies.length));
  }
  return policies;
}

class RuleDraw {
  /** Contents that there are already. */
  private readonly seen = new Set<string>();
  private readonly byApp = new Map<string, Machine[]>();

  constructor(
    private readonly machines: readonly Machine[],
    private readonly names: GroupNames,
    private readonly random: Random,
  ) {
    for (const machine of machines)
      this.byApp.set(machine.app, [...(this.byApp.get(machine.app) ?? []), machine]);
  }

  policy(category: string, count: number, number: number): Draft {
    const { random } = this;
    const machine = random.pick(this.machines);
    const style = STYLES[category] as Style;
    const appliedTo = style.appliedTo(machine, random);
    const rules = Array.from({ length: count }, (_, i) => ({
      name: `r${i + 1}`,
      ...this.newRule(category, style, machine),
    }));
    const word = category === 'application' ? machine.app : category;
    return {
      kind: 'SecurityPolicy',
      name: `${word}-${number + 1}`,
      spec: {
        category,
        ...(random.chance(0.6) && { priority: random.between(1, 40) * 50 }),
        ...(appliedTo && { appliedTo }),
        ...(random.chance(0.01) && { mode: 'observe' }),
        rules,
      },
    };
  }

  private newRule(category: string, style: Style, machine: Machine): Fields {
    for (let attempts = 0; attempts < MAX_ATTEMPTS; attempts++) {
      const rule = this.rule(category, style, machine);
      const text = JSON.stringify({ ...rule, appliedTo: undefined, direction: undefined });
      if (this.seen.has(text)) continue;
      this.seen.add(text);
      return rule;
    }
    throw new Error('no more different rules can be drawn for this datacenter');
  }

  private rule(category: string, style: Style, machine: Machine): Fields {
    const { random } = this;
    const direction = random.weighted([
      ['in', 45],
      ['out', 25],
      ['both', 30],
    ]);
    const own = this.own(category, machine);
    const peer = this.peer(category, machine);
    const towards = direction === 'in' || (direction === 'both' && random.chance(0.5));
    const [from, to] = towards ? [peer, own] : [own, peer];
    const services = random.chance(0.94) ? this.services(style, machine, towards) : undefined;
    const tier = { workloads: { matchLabels: { tier: machine.tier } } };
    return {
      ...(direction !== 'both' && { direction }),
      ...(from && { from }),
      ...(to && { to }),
      ...(services && { services }),
      action: random.weighted(style.actions),
      ...(category === 'application' && random.chance(0.4) && { appliedTo: tier }),
      ...(random.chance(0.05) && { log: true }),
      ...(random.chance(0.04) && { mode: 'observe' }),
      ...(random.chance(0.04) && { onChange: random.pick(['keep', 'reset']) }),
    };
  }

  /** The end that the rule applies to; often left open, as scope and direction say it already. */
  private own(category: string, { app, tier, env }: Machine): Fields | undefined {
    const { random } = this;
    if (category === 'application')
      return random.weighted([
        [{ groups: [`${app}-${tier}`] }, 50],
        [labelled({ app }), 15],
        [undefined, 35],
      ]);
    return random.weighted([
      [undefined, 70],
      [{ groups: [`${env}-${tier}`] }, 20],
      [labelled({ tier }), 10],
    ]);
  }

  private peer(category: string, { app }: Machine): Fields {
    const { random, names } = this;
    const other = random.pick(this.machines);
    const networks = () => ({
      addresses: Array.from({ length: random.between(1, 3) }, () => outside(random)),
    });
    const sibling = random.pick(this.byApp.get(app) ?? this.machines);
    if (category === 'application')
      return random.weighted<Fields>([
        [{ groups: [`${sibling.app}-${sibling.tier}`] }, 22],
        [{ groups: [random.pick(names.parts)] }, 26],
        [{ groups: [random.pick(names.parts), random.pick(names.networks)] }, 6],
        [labelled({ app: other.app, env: other.env }), 8],
        [{ groups: [random.pick(names.networks)] }, 8],
        [networks(), 30],
      ]);
    return random.weighted<Fields>([
      [{ groups: [random.pick(names.networks)] }, 30],
      [{ groups: [random.pick(names.wide)] }, 18],
      [{ workloads: { names: [other.name] } }, 7],
      [networks(), 45],
    ]);
  }

  private services(style: Style, machine: Machine, towards: boolean): unknown[] {
    const { random } = this;
    const tier = towards ? machine.tier : random.pick(this.machines).tier;
    const named = () => random.pick(random.chance(0.5) ? style.services : (TIER_SERVICES[tier] ?? []));
    const one = () => (random.chance(0.7) ? named() : this.entry());
    return [...new Set(Array.from({ length: random.pick([1, 1, 1, 2, 3]) }, one))];
  }

  private entry(): Fields {
    const { random } = this;
    const port = () => {
      const first = random.between(1024, 60_000);
      return random.chance(0.75) ? first : `${first}-${first + random.between(1, 200)}`;
    };
    return random.weighted<() => Fields>([
      [() => ({ protocol: 'tcp', ports: Array.from({ length: random.pick([1, 1, 1, 2, 4]) }, port) }), 70],
      [() => ({ protocol: 'udp', ports: [port()] }), 17],
      [() => ({ protocol: 'udp', ports: [port()], sourcePorts: ['1024-65535'] }), 4],
      [() => ({ protocol: 'tcp', sourcePorts: [random.pick([20, 53, 88, 2049])] }), 3],
      [() => ({ protocol: 'icmp', icmpType: random.pick([0, 3, 5, 8, 11, 13]) }), 3],
      [() => ({ protocol: random.pick([41, 47, 50, 51, 89, 112]) }), 3],
    ])();
  }
}
