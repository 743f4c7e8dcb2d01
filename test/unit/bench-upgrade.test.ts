// The arithmetic of bench upgrade: windows of the probe, a phase of changes, and what was wanted of it.
import { describe, expect, it } from 'vitest';
import {
  figuresOf,
  goalsOf,
  resultOf,
  summaryOf,
  together,
  type Window,
} from '../../src/lab/bench/upgrade-report.js';

const window = (more: Partial<Window>): Window => ({
  sent: 100,
  lost: 0,
  repeated: 0,
  gap: 200,
  gapEnd: 5_000_200,
  senderGap: 150,
  wait: 90,
  ...more,
});

describe('together', () => {
  it('adds datagrams, and takes the longest of times', () => {
    const parts = [
      window({ lost: 3, gap: 900, gapEnd: 7 }),
      window({ sent: 50, senderGap: 400 }),
      window({ repeated: 1 }),
    ];
    expect(together(parts)).toEqual({
      sent: 250,
      lost: 3,
      repeated: 1,
      gap: 900,
      gapEnd: 7,
      senderGap: 400,
      wait: 90,
    });
  });
});

const change = (gap: number, lost: number, more: Record<string, number> = {}) =>
  figuresOf(window({ gap, gapEnd: 5_000_000 + gap, lost }), 4000, more);

describe('figuresOf', () => {
  it('is in milliseconds, the blackout first', () => {
    expect(change(1234, 2, { pause: 0.4 })).toEqual({
      value: 1.234,
      at: 1000,
      senderPause: 0.15,
      wait: 0.09,
      sent: 100,
      lost: 2,
      repeated: 0,
      pause: 0.4,
    });
  });
});

describe('summaryOf', () => {
  it('has percentiles of times and sums of what was lost', () => {
    const runs = [1000, 4000, 2000].map((gap, i) =>
      change(gap, i, { pause: gap / 2000, connectionsLost: 1 }),
    );
    expect(summaryOf(runs)).toEqual({
      count: 3,
      blackoutMs: { p50: 2, p99: 4, max: 4 },
      pauseMs: { p50: 1, p99: 2, max: 2 },
      senderPauseMs: { p50: 0.15, p99: 0.15, max: 0.15 },
      frames: { sent: 300, lost: 3, mostLost: 2, repeated: 0 },
      connectionsLost: 3,
    });
  });

  it('says nothing of pauses and connections that nobody counts', () => {
    const summary = summaryOf([change(1000, 0)]);
    expect(summary).not.toHaveProperty('pauseMs');
    expect(summary).not.toHaveProperty('connectionsLost');
  });
});

describe('goalsOf', () => {
  const met = (kind: string, figures: { gap: number; lost: number; connectionsLost?: number }) => {
    const { gap, lost, ...more } = figures;
    return Object.fromEntries(
      goalsOf({ one: summaryOf([change(gap, lost, more)]) }, { one: kind }).map((goal) => [
        goal.figure,
        goal.met,
      ]),
    );
  };

  it('are met up to the most that a phase may cost', () => {
    const yes = { framesLost: true, connectionsLost: true, blackoutP99Ms: true };
    expect(met('same', { gap: 5000, lost: 0, connectionsLost: 0 })).toEqual(yes);
    expect(met('same', { gap: 5010, lost: 1, connectionsLost: 1 })).toEqual({
      framesLost: false,
      connectionsLost: false,
      blackoutP99Ms: false,
    });
  });

  it('let another layout and a crash cost frames', () => {
    const yes = { connectionsLost: true, blackoutP99Ms: true };
    expect(met('changed', { gap: 50_000, lost: 9, connectionsLost: 0 })).toEqual(yes);
    expect(met('crash', { gap: 1_000_000, lost: 9000, connectionsLost: 0 })).toEqual(yes);
  });

  it('are not met by what was not counted, and are none for the rest', () => {
    expect(met('crash', { gap: 1, lost: 0 })).toMatchObject({ connectionsLost: false });
    expect(met('quiet', { gap: 1, lost: 0 })).toEqual({});
  });
});

describe('resultOf', () => {
  it('compares the upgrade to the same layout with the peers', () => {
    const runs = { headgate: [change(2000, 0)], 'headgate-crash': [change(9000, 5)], ovs: [change(8000, 7)] };
    const kinds = { headgate: 'same', 'headgate-crash': 'crash', ovs: 'peer' };
    const result = resultOf(runs, kinds, { about: 'x' });
    expect(result).toMatchObject({ value: 2, peers: { ovs: 8 }, ratios: { ovs: 0.25 }, runs });
    expect(result.details).toMatchObject({ about: 'x', phases: { ovs: { frames: { lost: 7 } } } });
  });
});
