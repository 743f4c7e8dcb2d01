// How runs of a bench become one result.
import { expect, test } from 'vitest';
import { manyOverOne, rounded, spread, spreads } from '../../src/lab/bench/report.js';

test('the median of an odd and an even number of runs', () => {
  expect(spread([3, 1, 2])).toEqual({ min: 1, median: 2, max: 3 });
  expect(spread([4, 1, 2, 3])).toEqual({ min: 1, median: 2.5, max: 4 });
});

test('every figure is spread by itself', () => {
  const runs = [
    { value: 1, p99: 10 },
    { value: 3, p99: 30 },
  ];
  expect(spreads(runs)).toEqual({
    value: { min: 1, median: 2, max: 3 },
    p99: { min: 10, median: 20, max: 30 },
  });
});

test('figures are rounded to four digits', () => {
  expect(rounded(1234.56)).toBe(1235);
  expect(rounded(0.0123456)).toBe(0.01235);
});

test('many rules are compared with one rule, where both were measured', () => {
  const runs = {
    headgate: [{ value: 1000 }],
    'headgate-1': [{ value: 200 }, { value: 100 }, { value: 300 }],
    'headgate-10000': [{ value: 190 }],
    'headgate-standing': [{ value: 198 }],
    nftables: [{ value: 1 }],
  };
  expect(manyOverOne(runs)).toEqual({
    'headgate-10000 / headgate-1': 0.95,
    'headgate-standing / headgate-1': 0.99,
  });
  expect(manyOverOne({ nftables: [{ value: 1 }], 'headgate-10000': [{ value: 1 }] })).toEqual({});
});
