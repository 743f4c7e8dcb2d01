// What an upgrade of the engine costs, and its crash: frames, connections, and how long none passes.
//
// Some hundred thousand connections stand, TCP is tracked strictly; a probe of 10,000 datagrams a second and one TCP
// connection go from client to server. Then the engine is followed by another of the same version, by one with other
// connection records and back, and killed. By the same probe: Open vSwitch's user-space datapath is restarted, and a
// ruleset of nftables is loaded again. All stand from the begin; they take turns, some changes of each at a time.
import { otherVersion } from '../other-version.js';
import type { Ends } from './join.js';
import type { Figures } from './measure.js';
import type { Result } from './report.js';
import { figuresOf, resultOf, summaryOf } from './upgrade-report.js';
import {
  headgateSubject,
  nftablesSubject,
  openVswitchSubject,
  type Phase,
  type Subject,
} from './upgrade-subjects.js';
import { PROBE_RATE, STREAM_RATE, Traffic, type Stream } from './upgrade-traffic.js';

interface Plan {
  /** Of which the last is that of the changed layout and the crash. */
  standing: number[];
  rounds: number;
  /** In each round. */
  changes: number;
}

const FULL: Plan = { standing: [100_000, 1_000_000], rounds: 5, changes: 10 };
const QUICK: Plan = { standing: [100_000], rounds: 1, changes: 4 };
/** The kernel's limit on connections is one for the whole machine. */
const PEER_STANDING = 100_000;

interface Measured {
  runs: Record<string, Figures[]>;
  streams: Record<string, Stream[]>;
}

export async function upgrade({
  quick,
  say,
}: {
  quick: boolean;
  say: (text: string) => void;
}): Promise<Result> {
  const plan = quick ? QUICK : FULL;
  const next = otherVersion({ addon: 'headgate_next.node' });
  const most = Math.max(...plan.standing);
  const subjects = [
    ...plan.standing.map((count) => headgateSubject(count, count === most ? next : undefined)),
    openVswitchSubject(),
    nftablesSubject(PEER_STANDING),
  ];
  const measured: Measured = { runs: {}, streams: {} };
  const ready: { subject: Subject; ends: Ends }[] = [];
  const begun: Subject[] = [];
  try {
    for (const subject of subjects) {
      say(`setting up ${subject.join.name}: ${subject.join.about}`);
      begun.push(subject);
      ready.push({ subject, ends: await subject.join.setUp() });
    }
    for (let round = 1; round <= plan.rounds; round++) {
      // Back and forth, so that nobody is always the first.
      for (const { subject, ends } of round % 2 ? ready : [...ready].reverse())
        for (const phase of subject.phases) {
          await measure(phase, ends, plan.changes, measured);
          say(`round ${round}/${plan.rounds} ${line(phase.name, measured, plan.changes)}`);
        }
    }
  } finally {
    for (const { join } of begun.reverse()) await join.tearDown();
  }
  const kinds = Object.fromEntries(
    subjects.flatMap(({ phases }) => phases.map(({ name, kind }) => [name, kind])),
  );
  return resultOf(measured.runs, kinds, {
    about: `longest time without an arrival of ${PROBE_RATE} datagrams a second, around a change, in ms; value: p99 of upgrades to the same layout with ${most} standing connections, 1,000 rules, strict tracking`,
    joins: Object.fromEntries(subjects.map(({ join }) => [join.name, join.about])),
    streamBitPerSecond: STREAM_RATE,
    streams: measured.streams,
  });
}

async function measure(phase: Phase, ends: Ends, changes: number, measured: Measured): Promise<void> {
  const traffic = await Traffic.start(ends);
  try {
    for (let i = 0; i < changes; i++) {
      const { window, began, changed } = await traffic.during(() => phase.change(i));
      (measured.runs[phase.name] ??= []).push(figuresOf(window, began, changed));
    }
    (measured.streams[phase.name] ??= []).push(await traffic.stop());
  } finally {
    traffic.kill();
  }
}

/** Of the newest changes of a phase. */
function line(name: string, { runs, streams }: Measured, changes: number): string {
  const { blackoutMs, pauseMs, frames, connectionsLost } = summaryOf((runs[name] ?? []).slice(-changes));
  const stream = streams[name]?.at(-1);
  const figures = [
    `blackout in ms p50 ${blackoutMs.p50}, max ${blackoutMs.max}`,
    ...(pauseMs === undefined ? [] : [`pause ${pauseMs.p50}, max ${pauseMs.max}`]),
    `${frames.lost} of ${frames.sent} frames lost`,
    ...(connectionsLost === undefined ? [] : [`${connectionsLost} connections`]),
    stream?.alive === true ? `TCP lives, ${stream.retransmits} sent again` : 'TCP has ended',
  ];
  return `${name}: ${figures.join('; ')}`;
}
