// What bench upgrade changes under traffic: Headgate's engine in three ways, and what the peers have in their place.
import { setTimeout as sleep } from 'node:timers/promises';
import { readFileSync } from 'node:fs';
import { ApiClient } from '../../cli/client.js';
import type { StatsResult, StatusResult } from '../../control/api.js';
import { timeoutsSchema } from '../../engine/messages.js';
import { outcomeSchema, type Outcome } from '../../engine/handover-messages.js';
import { PROGRAM, type Headgate } from '../headgate.js';
import { execIn, waitUntil } from '../namespaces.js';
import { headgateStanding } from './headgate.js';
import { runIn, type Ends, type Join } from './join.js';
import { nftables } from './kernel.js';
import { openVswitch } from './ovs.js';
import { rounded } from './report.js';
import { stand } from './standing.js';

/** `quiet`: nothing is changed, for as long as a change takes. What else is seen then is the machine. */
export type Kind = 'quiet' | 'same' | 'changed' | 'crash' | 'peer';

export interface Phase {
  name: string;
  kind: Kind;
  /** The change with this number; figures that it gives itself. */
  change(number: number): Promise<Record<string, number>>;
}

export interface Subject {
  join: Join;
  phases: Phase[];
}

const RULES = 1000;
const QUIET_MILLISECONDS = 1500;
/** An engine that has lived for a second is started again at once. */
const LIFE_MILLISECONDS = 1200;
const DAY = 86_400;
const TIMEOUTS = Object.keys(timeoutsSchema.shape);

const quiet = (name: string): Phase => ({
  name: `${name}-quiet`,
  kind: 'quiet',
  change: () => sleep(QUIET_MILLISECONDS, {}),
});

/** `next`: the program of a version with other connection records; absent: it is only upgraded to the same version. */
export function headgateSubject(standing: number, next?: string): Subject {
  const name = next === undefined ? `headgate-${standing}` : 'headgate';
  const room = standing + Math.max(10_000, standing / 10);
  const join = headgateStanding(standing, {
    name,
    rules: RULES,
    host: {
      tracking: 'strict',
      connections: room,
      limits: { connections: room, halfOpen: room, newPerSecond: 10_000_000 },
      // None ends by itself: that would count as lost.
      timeouts: Object.fromEntries(TIMEOUTS.map((one) => [one, DAY])),
    },
  });
  const upgrade: Phase = {
    name,
    kind: 'same',
    change: () => kept(join.running(), () => upgraded(join.running(), [PROGRAM], 0, 0)),
  };
  if (next === undefined) return { join, phases: [quiet(name), upgrade] };
  const changed: Phase = {
    name: `${name}-changed`,
    kind: 'changed',
    change: (number) => {
      const command = number % 2 === 0 ? [next] : [PROGRAM, '--rollback'];
      return kept(join.running(), () => upgraded(join.running(), command, standing, Infinity));
    },
  };
  const crash: Phase = {
    name: `${name}-crash`,
    kind: 'crash',
    change: () => kept(join.running(), () => crashed(join.running())),
  };
  return { join, phases: [quiet(name), upgrade, changed, crash] };
}

const statusOf = ({ runDir }: Headgate): Promise<StatusResult> =>
  new ApiClient(runDir).get<StatusResult>('/v1/status');

const connectionsOf = async ({ runDir }: Headgate): Promise<number> =>
  (await new ApiClient(runDir).get<StatsResult>('/v1/stats')).connections;

/**
 * The change, until control has another engine; and how many connections fewer there are then. After an upgrade to another
 * program control is started anew as well, and does not answer for a moment.
 */
async function kept(
  running: Headgate,
  change: () => Promise<Record<string, number>>,
): Promise<Record<string, number>> {
  const before = await waitUntil('control answers', () => engineOf(running));
  const figures = await change();
  const after = await waitUntil('control has the new engine', async () => {
    const engine = await engineOf(running);
    return engine.pid !== before.pid && engine;
  });
  return { ...figures, connectionsLost: Math.max(0, before.connections - after.connections) };
}

/** Throws when control has none. */
async function engineOf(running: Headgate): Promise<{ pid: number; connections: number }> {
  const { ready, engine } = await statusOf(running);
  if (!ready || engine === undefined) throw new Error('control has no engine');
  return { pid: engine.pid, connections: await connectionsOf(running) };
}

async function upgraded(
  { runDir }: Headgate,
  [program = '', ...args]: string[],
  least: number,
  most: number,
): Promise<Record<string, number>> {
  const began = performance.now();
  const said = await execIn(undefined, [program, 'upgrade', ...args, '--run-dir', runDir, '-o', 'json']);
  const outcome: Outcome = outcomeSchema.parse(JSON.parse(said));
  if (outcome.converted < least || outcome.converted > most)
    throw new Error(`${outcome.converted} connections were converted, not ${least} or more`);
  return {
    pause: rounded(outcome.pauseMicroseconds / 1000),
    prepare: rounded(outcome.prepareMilliseconds),
    command: rounded(performance.now() - began),
    rollback: args.includes('--rollback') ? 1 : 0,
  };
}

async function crashed(running: Headgate): Promise<Record<string, number>> {
  await sleep(LIFE_MILLISECONDS);
  const { engine } = await statusOf(running);
  if (engine === undefined) throw new Error('there is no engine');
  process.kill(engine.pid, 'SIGKILL');
  return {};
}

/** The switch's user-space datapath ends in order and starts again. It tracks no connections. */
export function openVswitchSubject(): Subject {
  const join = openVswitch();
  const restart = () => join.restart().then(() => ({}));
  return { join, phases: [quiet('ovs'), { name: 'ovs', kind: 'peer', change: restart }] };
}

/** The whole ruleset is loaded again in one transaction; the kernel keeps its connections. */
export function nftablesSubject(standing: number): Subject {
  const join = nftables(RULES);
  const { name, middle } = join;
  const count = (): Promise<number> =>
    Promise.resolve(Number(runIn(middle, ['sysctl', '-n', 'net.netfilter.nf_conntrack_count'])));
  let end: (() => void) | undefined;
  const subject: Join = {
    ...join,
    async setUp() {
      const ends: Ends = await join.setUp();
      const timeouts = ['udp_timeout', 'udp_timeout_stream', 'icmp_timeout'];
      runIn(middle, ['sysctl', '-qw', ...timeouts.map((one) => `net.netfilter.nf_conntrack_${one}=${DAY}`)]);
      end = await stand(ends, Math.min(standing, kernelLimit() / 2), count);
      return ends;
    },
    async tearDown() {
      end?.();
      await join.tearDown();
    },
  };
  const reload = async () => {
    const before = await count();
    join.reload();
    return { connectionsLost: Math.max(0, before - (await count())) };
  };
  return { join: subject, phases: [quiet(name), { name, kind: 'peer', change: reload }] };
}

/** What the machine allows all namespaces together; it is not changed for a bench. */
const kernelLimit = (): number =>
  Number(readFileSync('/proc/sys/net/netfilter/nf_conntrack_max', 'utf8').trim());
