// What the tests of upgrades and crashes do to a bed (../netns/bed.ts).
import { spawnSync } from 'node:child_process';
import type { Outcome } from '../../src/engine/handover-messages.js';
import { PROGRAM } from '../../src/lab/headgate.js';
import { waitUntil } from '../../src/lab/namespaces.js';
import { Bed } from '../netns/bed.js';

export { otherVersion } from '../../src/lab/other-version.js';

/** Udp 53 and TCP 80 are allowed; TCP 90 too, until `forbid`: then connections that are open live on (`keep`). */
export const RULES = [
  { name: 'udp', services: [{ protocol: 'udp', ports: [53] }], action: 'allow' },
  { name: 'tcp', services: [{ protocol: 'tcp', ports: [80] }], action: 'allow' },
];
const KEPT = {
  name: 'kept',
  services: [{ protocol: 'tcp', ports: [90] }],
  action: 'allow',
  onChange: 'keep',
};

/** Between two datagrams. A TAP device holds 500 frames: so long no engine may read it on a machine that is busy. */
export const STREAM_MILLISECONDS = 4;

/** a and b, b listens; a connection to port 90 that only its record keeps alive, as `kept`. */
export async function startBed(): Promise<Bed> {
  const bed = await Bed.start({ workloads: ['a', 'b'], rules: [...RULES, KEPT] });
  await bed.agent('b').listen({ tcp: [80, 81, 90], udp: [53] });
  const answer = await bed.agent('a').hold('kept', bed.ipv4('b'), 90);
  if (answer.outcome !== 'reached') throw new Error(`no connection to keep: ${answer.detail}`);
  await bed.applyRules(RULES);
  return bed;
}

export interface Run {
  status: number | null;
  outcome: Outcome | undefined;
  stderr: string;
}

export function tryUpgrade(bed: Bed, args: string[] = [], program = PROGRAM): Run {
  const run = spawnSync(program, ['upgrade', '--run-dir', bed.folders.runDir, '-o', 'json', ...args], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  const outcome = run.status === 0 ? (JSON.parse(run.stdout) as Outcome) : undefined;
  return { status: run.status, outcome, stderr: run.stderr };
}

export function upgrade(bed: Bed, args: string[] = [], program = PROGRAM): Outcome {
  const { outcome, stderr } = tryUpgrade(bed, args, program);
  if (outcome === undefined) throw new Error(`upgrade: ${stderr}\n${bed.log()}`);
  return outcome;
}

/** The process of the engine that control has, and has brought to its policy. */
export async function ready(bed: Bed, otherThan?: number): Promise<number> {
  const status = await waitUntil('control has the engine', async () => {
    const status = await bed.status();
    return status.ready && status.engine?.pid !== otherThan && status;
  });
  return status.engine?.pid ?? 0;
}
