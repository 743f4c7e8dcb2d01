// Draws a datacenter as documents: workloads of applications in tiers and environments, groups over their labels,
// networks outside, services, and policies in all four categories.
//
// Rules are different from each other, and each is narrow in at least two of scope, ends and services, as rules that
// people keep are. A workload has a twentieth of all rules or so: those of its application, its tier, its environment,
// and the few for all.
import type { Random, Weighted } from './random.js';
import { drawPolicies } from './datacenter-policies.js';
import { drawGroups, SERVICES } from './datacenter-things.js';

/** A document before it is written and read. */
export interface Draft {
  kind: string;
  name: string;
  labels?: Record<string, string>;
  spec: Record<string, unknown>;
}

/** One workload with what rules go by. */
export interface Machine {
  name: string;
  app: string;
  tier: string;
  env: string;
  tag: string | undefined;
}

export interface Datacenter {
  host: Draft;
  segments: Draft[];
  workloads: Draft[];
  groups: Draft[];
  services: Draft[];
  policies: Draft[];
}

export interface DatacenterSize {
  rules: number;
  workloads: number;
  /** Rules of a policy, fewest and most. */
  policyRules?: readonly [number, number];
}

const APPS =
  'shop billing search mail wiki build ledger stock media chat maps geo fraud loans cards auth audit risk quotes video'.split(
    ' ',
  );
const TIERS: Weighted<string> = [
  ['web', 30],
  ['app', 34],
  ['db', 18],
  ['cache', 10],
  ['queue', 8],
];
const ENVS: Weighted<string> = [
  ['prod', 6],
  ['staging', 2],
  ['dev', 2],
];
const TAGS: Weighted<string | undefined> = [
  [undefined, 60],
  ['pci', 12],
  ['public', 14],
  ['backup', 8],
  ['legacy', 6],
];
const WORKLOADS_OF_APP = 10;
const WORKLOADS_OF_SEGMENT = 64;

export function generateDatacenter(size: DatacenterSize, random: Random): Datacenter {
  const machines = drawMachines(size.workloads, random);
  const segments = Math.ceil(size.workloads / WORKLOADS_OF_SEGMENT);
  const { groups, names } = drawGroups(machines, random);
  return {
    host: {
      kind: 'Host',
      name: 'datacenter',
      spec: { default: 'drop', attach: { namespaces: ['dc-*'] } },
    },
    segments: Array.from({ length: segments }, (_, i) => ({
      kind: 'Segment',
      name: segmentName(i),
      spec: { vlan: i + 10 },
    })),
    workloads: machines.map((machine, i) => workload(machine, i, random)),
    groups,
    services: Object.entries(SERVICES).map(([name, entries]) => ({
      kind: 'Service',
      name,
      spec: { entries },
    })),
    policies: drawPolicies(machines, names, size, random),
  };
}

/** Documents in the order in which one reads them. */
export function draftsOf({ host, segments, workloads, groups, services, policies }: Datacenter): Draft[] {
  return [host, ...segments, ...workloads, ...groups, ...services, ...policies];
}

function drawMachines(count: number, random: Random): Machine[] {
  const apps = Math.max(1, Math.round(count / WORKLOADS_OF_APP));
  const counters = new Map<string, number>();
  return Array.from({ length: count }, (_, i) => {
    const number = i % apps;
    const word = APPS[number % APPS.length] ?? '';
    const app = number < APPS.length ? word : `${word}-${Math.floor(number / APPS.length) + 1}`;
    const tier = random.weighted(TIERS);
    const n = (counters.get(`${app}-${tier}`) ?? 0) + 1;
    counters.set(`${app}-${tier}`, n);
    return {
      name: `${app}-${tier}-${n}`,
      app,
      tier,
      env: random.weighted(ENVS),
      tag: random.weighted(TAGS),
    };
  });
}

function segmentName(i: number): string {
  return `lan-${i + 1}`;
}

/** 10.S.0.N and, for two of three, fd00:S::N. */
function workload({ name, app, tier, env, tag }: Machine, i: number, random: Random): Draft {
  const segment = Math.floor(i / WORKLOADS_OF_SEGMENT);
  const n = (i % WORKLOADS_OF_SEGMENT) + 1;
  const addresses = [`10.${segment}.0.${n}/16`];
  if (random.chance(2 / 3)) addresses.push(`fd00:${(segment + 1).toString(16)}::${n.toString(16)}/64`);
  return {
    kind: 'Workload',
    name,
    labels: { app, tier, env, ...(tag !== undefined && { tag }) },
    spec: {
      segment: segmentName(segment),
      attach: { tap: { netns: `dc-${name}`, name: 'eth0', addresses } },
    },
  };
}
