// The arithmetic of bench apply: which arrival belongs to an edit, percentiles, steps.
import { describe, expect, it } from 'vitest';
import { durations, firstArrival, percentiles } from '../../src/lab/bench/apply-report.js';

describe('firstArrival', () => {
  const arrivals = [
    { port: 1, at: 10 },
    { port: 2, at: 20 },
    { port: 1, at: 30 },
    { port: 2, at: 40 },
  ];

  it('is the first at the port since the request', () => {
    expect(firstArrival(arrivals, 1, 15)).toEqual({ port: 1, at: 30 });
    expect(firstArrival(arrivals, 2, 20)).toEqual({ port: 2, at: 20 });
  });

  it('is none while only others came, or that port did before', () => {
    expect(firstArrival(arrivals, 1, 31)).toBeUndefined();
    expect(firstArrival(arrivals, 3, 0)).toBeUndefined();
  });
});

describe('percentiles', () => {
  it('are values that were measured', () => {
    const values = Array.from({ length: 200 }, (_, i) => 200 - i);
    expect(percentiles(values)).toEqual({ p50: 100, p99: 198, max: 200 });
  });

  it('of few values are the greatest', () => {
    expect(percentiles([3, 1, 2])).toEqual({ p50: 2, p99: 3, max: 3 });
  });
});

describe('durations', () => {
  it('reach from the beginning of each step to that of the next, together for steps of one name', () => {
    const moments = [
      { step: 'read', at: 5 },
      { step: 'read', at: 7 },
      { step: 'check', at: 10 },
      { step: 'end', at: 30 },
    ];
    expect(durations(moments)).toEqual({ read: 5, check: 20 });
  });
});
