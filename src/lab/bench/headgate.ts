// Headgate itself, as it is installed (both processes), and the same packet path with an empty pipeline.
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ApiClient } from '../../cli/client.js';
import type { StatsResult } from '../../control/api.js';
import { onEnd } from '../cleanup.js';
import { createNamespace, deleteNamespace } from '../namespaces.js';
import { foldersIn, startHeadgate, type Headgate } from '../headgate.js';
import { generateDatacenter, type Draft } from '../generate/datacenter.js';
import { Random } from '../generate/random.js';
import { writeYaml } from '../generate/write.js';
import { answers, endsOf, makeEnds, removeEnds, type Ends, type Join } from './join.js';
import { stand } from './standing.js';

const LAST_PRIORITY = 1_000_000;

const tool = (name: string): string => resolve(process.env['HEADGATE_ROOT'] ?? '.', 'build/Release', name);

/** Two TAP workloads on one segment, `rules` rules in a row for each new connection, the last of which allows it. */
export function headgate(rules: number, name = 'headgate'): Join & { running(): Headgate } {
  return between(name, `${rules} rule${rules === 1 ? '' : 's in a row'} at each workload`, rowOf(rules - 1));
}

const LIMIT = 2_000_000;

export interface StandingOptions {
  name?: string;
  rules?: number;
  /** More of the Host document's spec. */
  host?: Fields;
}

/** So many connections of UDP stand all the while; one rule, unless there are to be more. */
export function headgateStanding(
  standing: number,
  options: StandingOptions = {},
): Join & { running(): Headgate } {
  const { name = 'headgate-standing', rules = 1, host = {} } = options;
  const spec = {
    connections: LIMIT,
    limits: { connections: LIMIT, halfOpen: LIMIT, newPerSecond: LIMIT },
    timeouts: { udpOneWay: 86_400 },
    ...host,
  };
  const about = `${rules} rule${rules === 1 ? '' : 's'}, ${standing} standing connections`;
  const join = between(name, about, rowOf(rules - 1), spec);
  let end: (() => void) | undefined;
  return {
    ...join,
    async setUp() {
      const ends = await join.setUp();
      const control = new ApiClient(join.running().runDir);
      end = await stand(
        ends,
        standing,
        async () => (await control.get<StatsResult>('/v1/stats')).connections,
      );
      return ends;
    },
    async tearDown() {
      end?.();
      await join.tearDown();
    },
  };
}

/** The same beside a datacenter's rules, each of which stands at both workloads; the rule that allows comes last. */
export function headgateDatacenter(rules: number): Join {
  const about = `${rules} rules of a generated datacenter at each workload, of which the last matches`;
  return between('headgate-datacenter', about, datacenter(rules - 1));
}

/** A third workload on the segment, from which floods come. */
export const FLOODER = { name: 'flooder', netns: 'hg-flooder', address: '10.1.0.3' };

/** The two, and the flooder. */
export function headgateFlooded(): Join & { running(): Headgate } {
  const flooder = workload(FLOODER.name, FLOODER.netns, `${FLOODER.address}/24`);
  const join = between('headgate', '1 rule at each workload', [flooder]);
  return {
    ...join,
    setUp() {
      createNamespace(FLOODER.netns);
      return join.setUp();
    },
    async tearDown() {
      await join.tearDown();
      deleteNamespace(FLOODER.netns);
    },
  };
}

function between(
  name: string,
  about: string,
  before: Draft[],
  host: Fields = {},
): Join & { running(): Headgate } {
  const ends = endsOf(name);
  let running: Headgate | undefined;
  let directory = '';
  return {
    name,
    about: `Headgate, TAP, stateful, ${about}`,
    async setUp() {
      makeEnds(ends);
      directory = mkdtempSync('/run/hg-bench-');
      chmodSync(directory, 0o755); // control, an ordinary user, reads the host file
      mkdirSync(join(directory, 'conf.d'));
      const config = join(directory, 'headgate.yaml');
      writeFileSync(config, writeYaml([{ ...HOST, spec: { ...HOST.spec, ...host } }]));
      writeFileSync(join(directory, 'conf.d', 'bench.yaml'), writeYaml([...before, ...documents(ends)]));
      running = await startHeadgate({ ...foldersIn(directory), config });
      await answers(ends);
      return ends;
    },
    async tearDown() {
      await running?.stop();
      removeEnds(ends);
      rmSync(directory, { recursive: true, force: true });
    },
    running() {
      if (running === undefined) throw new Error('it does not run');
      return running;
    },
  };
}

const HOST: Draft = {
  kind: 'Host',
  name: 'bench',
  spec: { default: 'drop', attach: { namespaces: ['hg-*', 'dc-*'] } },
};

const workload = (name: string, netns: string, address: string): Draft => ({
  kind: 'Workload',
  name,
  spec: { segment: 'bench', attach: { tap: { netns, name: 'eth0', addresses: [address] } } },
});

function documents(ends: Ends): Draft[] {
  const allow = {
    name: 'allow',
    from: { addresses: ['10.1.0.0/24'] },
    to: { addresses: ['10.1.0.0/24'] },
    action: 'allow',
  };
  return [
    { kind: 'Segment', name: 'bench', spec: {} },
    workload('client', ends.client, '10.1.0.1/24'),
    workload('server', ends.server, '10.1.0.2/24'),
    {
      kind: 'SecurityPolicy',
      name: 'bench',
      spec: { category: 'application', priority: LAST_PRIORITY, rules: [allow] },
    },
  ];
}

/** As nftables gets them (kernel.ts). */
function rowOf(rules: number): Draft[] {
  const row = Array.from({ length: rules }, (_, i) => ({
    name: `row-${i}`,
    from: { addresses: [`192.0.2.${i % 256}`] },
    to: { addresses: [`198.51.100.${i % 251}`] },
    services: [{ protocol: 'tcp', ports: [1000 + (i % 50_000)] }],
    action: 'drop',
  }));
  return rules === 0
    ? []
    : [{ kind: 'SecurityPolicy', name: 'row', spec: { category: 'application', rules: row } }];
}

/**
 * Documents whose rules are all applied to everybody. None of them holds the ends that are measured: its workloads
 * have addresses of 10.0.0.0/16, and none of its networks is of 10.0.0.0/8.
 */
function datacenter(rules: number): Draft[] {
  const { segments, workloads, groups, services, policies } = generateDatacenter(
    { rules, workloads: 64 },
    new Random(1),
  );
  const toAll = policies.map((policy) => {
    const { rules: some, ...spec } = without(policy.spec, 'appliedTo') as { rules: Fields[] };
    return {
      ...policy,
      spec: { ...spec, rules: some.map((rule) => without(rule, 'appliedTo', 'direction')) },
    };
  });
  return [...segments, ...workloads, ...groups, ...services, ...toAll];
}

type Fields = Record<string, unknown>;

const without = (fields: Fields, ...names: string[]): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)));

/** Two TAPs joined by the same worker loop with nothing but a forwarding stage. */
export function emptyPipeline(): Join {
  const ends = endsOf('empty');
  let program: ChildProcess | undefined;
  let unregister: (() => void) | undefined;
  return {
    name: 'empty-pipeline',
    about: "Headgate's ports and worker loop with an empty pipeline",
    async setUp() {
      makeEnds(ends);
      const path = tool('bench_wire');
      const taps = ['--tap', `${ends.client}:eth0:10.1.0.1/24`, '--tap', `${ends.server}:eth0:10.1.0.2/24`];
      program = spawn(path, taps, { stdio: ['ignore', 'ignore', 'inherit'] });
      unregister = onEnd(() => program?.kill('SIGKILL'));
      await answers(ends);
      return ends;
    },
    async tearDown() {
      unregister?.();
      removeEnds(ends);
    },
  };
}
