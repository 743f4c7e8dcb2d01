// How bench upgrade sums up: what a window of the probe says, percentiles of each phase, and what was wanted of them.
import { percentiles, type Percentiles } from './apply-report.js';
import type { Figures } from './measure.js';
import { rounded, type Result } from './report.js';

/** What sequence_probe says of the time since it was asked before; times in microseconds. */
export interface Window {
  sent: number;
  lost: number;
  repeated: number;
  /** The longest time without an arrival, and the longest that the sender itself paused. */
  gap: number;
  /** When that ended, since 1970; 0: no datagram has come. */
  gapEnd: number;
  senderGap: number;
  /** The longest that a datagram took. */
  wait: number;
}

/** Windows that follow each other as one. */
export function together(windows: readonly Window[]): Window {
  const sum = (name: keyof Window) => windows.reduce((all, window) => all + window[name], 0);
  const most = (name: keyof Window) => Math.max(0, ...windows.map((window) => window[name]));
  return {
    sent: sum('sent'),
    lost: sum('lost'),
    repeated: sum('repeated'),
    gap: most('gap'),
    gapEnd: windows.find(({ gap }) => gap === most('gap'))?.gapEnd ?? 0,
    senderGap: most('senderGap'),
    wait: most('wait'),
  };
}

/**
 * Of one change, which began so many milliseconds after 1970; times in milliseconds. `value` is the blackout, `at` when
 * that began, seen from the begin of the change.
 */
export function figuresOf(window: Window, began: number, more: Record<string, number>): Figures {
  const { gap, gapEnd, senderGap, wait, ...counts } = window;
  const ms = (microseconds: number) => rounded(microseconds / 1000);
  const at = rounded((gapEnd - gap) / 1000 - began);
  return { value: ms(gap), at, senderPause: ms(senderGap), wait: ms(wait), ...counts, ...more };
}

export interface Summary {
  count: number;
  blackoutMs: Percentiles;
  /** What the engine says itself. */
  pauseMs?: Percentiles;
  senderPauseMs: Percentiles;
  frames: { sent: number; lost: number; mostLost: number; repeated: number };
  /** Absent: nothing counts them. */
  connectionsLost?: number;
}

export function summaryOf(runs: readonly Figures[]): Summary {
  const all = (name: string) => runs.flatMap((figures) => figures[name] ?? []);
  const sum = (name: string) => all(name).reduce((total, one) => total + one, 0);
  const pauses = all('pause');
  const connections = all('connectionsLost');
  return {
    count: runs.length,
    blackoutMs: percentiles(all('value')),
    ...(pauses.length > 0 && { pauseMs: percentiles(pauses) }),
    senderPauseMs: percentiles(all('senderPause')),
    frames: {
      sent: sum('sent'),
      lost: sum('lost'),
      mostLost: Math.max(0, ...all('lost')),
      repeated: sum('repeated'),
    },
    ...(connections.length > 0 && { connectionsLost: sum('connectionsLost') }),
  };
}

export interface Goal {
  phase: string;
  figure: string;
  most: number;
  is: number;
  met: boolean;
}

/** The most that a phase may cost: frames, connections, and the blackout that 99 of 100 changes do not exceed. */
const GOALS: Record<string, Partial<Record<'framesLost' | 'connectionsLost' | 'blackoutP99Ms', number>>> = {
  same: { framesLost: 0, connectionsLost: 0, blackoutP99Ms: 5 },
  changed: { connectionsLost: 0, blackoutP99Ms: 50 },
  crash: { connectionsLost: 0, blackoutP99Ms: 1000 },
};

/** `kinds`: what each phase's kind of change is, by the phase's name. */
export function goalsOf(
  summaries: Record<string, Summary>,
  kinds: Record<string, string | undefined>,
): Goal[] {
  return Object.entries(summaries).flatMap(([phase, summary]) => {
    const measured = {
      framesLost: summary.frames.lost,
      connectionsLost: summary.connectionsLost ?? NaN,
      blackoutP99Ms: summary.blackoutMs.p99,
    };
    return Object.entries(GOALS[kinds[phase] ?? ''] ?? {}).map(([figure, most]) => {
      const is = measured[figure as keyof typeof measured];
      return { phase, figure, most, is, met: is <= most };
    });
  });
}

export function resultOf(
  runs: Record<string, Figures[]>,
  kinds: Record<string, string>,
  details: Record<string, unknown>,
): Result {
  const summaries = Object.fromEntries(
    Object.entries(runs).map(([name, figures]) => [name, summaryOf(figures)]),
  );
  const p99 = (name: string) => summaries[name]?.blackoutMs.p99 ?? NaN;
  const peers = Object.keys(runs).filter((name) => kinds[name] === 'peer');
  return {
    name: 'upgrade',
    value: p99('headgate'),
    unit: 'ms',
    better: 'lower',
    peers: Object.fromEntries(peers.map((name) => [name, p99(name)])),
    ratios: Object.fromEntries(peers.map((name) => [name, rounded(p99('headgate') / p99(name))])),
    details: { ...details, goals: goalsOf(summaries, kinds), phases: summaries },
    runs,
  };
}
