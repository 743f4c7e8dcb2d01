// How scripts/bench conns sums up what bench_conns reports.
import { expect, test } from 'vitest';
import {
  bytesEach,
  conntrackBytes,
  figuresOf,
  stepsOf,
  type Batches,
  type ConnsReport,
} from '../../src/lab/bench/conns-report.js';

const batches = (processorLongest: number): Batches => ({
  batches: 100,
  median: 20,
  p999: 90,
  longest: 9000,
  processorP999: 40,
  processorLongest,
});

const report = (connections: number, resident: number, insert: number): ConnsReport => ({
  connections,
  steps: [
    { percent: 50, insert: 2 * insert, hit: 5e6, resident: resident / 2 },
    { percent: 100, insert, hit: 4e6, resident },
  ],
  fill: batches(70),
});

const small = report(1000, 5_000_000, 1e6);

test('what does not grow with connections is no part of their bytes', () => {
  expect(bytesEach(small, report(1_001_000, 133_000_000, 1e6))).toBe(128);
});

test('figures are of the full table, and of the thread alone', () => {
  const figures = figuresOf(small, {
    ...report(1_001_000, 105_000_000, 1.5e6),
    timeout: batches(60),
    pageTables: 200_200,
    refusedAtTimeout: 0,
  });
  expect(figures).toEqual({
    value: 100,
    insert: 1.5e6,
    hit: 4e6,
    fillMedian: 20,
    fillP999: 40,
    fillLongest: 70,
    timeoutMedian: 20,
    timeoutP999: 40,
    timeoutLongest: 60,
    pageTablesEach: 0.2,
    refusedAtTimeout: 0,
  });
});

test('a step is the median of the runs; misses only where they were measured', () => {
  const runs = [1e6, 3e6, 2e6].map((insert) => report(1000, 1, insert));
  expect(stepsOf(runs)).toEqual({ '50 %': { insert: 4, hit: 5 }, '100 %': { insert: 2, hit: 4 } });
  for (const { steps } of runs) for (const step of steps) step.miss = 9e6;
  expect(stepsOf(runs)['100 %']).toEqual({ insert: 2, hit: 4, miss: 9 });
});

test("the kernel's record", () => {
  const slabinfo = [
    'slabinfo - version: 2.1',
    'nf_conntrack_expect      0      0    208   19    1 : tunables    0    0    0',
    'nf_conntrack          80    144    256   16    1 : tunables    0    0    0',
  ];
  expect(conntrackBytes(slabinfo.join('\n'))).toBe(256);
  expect(conntrackBytes(slabinfo.slice(0, 2).join('\n'))).toBeUndefined();
});
