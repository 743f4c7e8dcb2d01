// The difference of two lists of ranges, against sets of single addresses.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Range } from '../../src/documents/ip.js';
import { mergeRanges } from '../../src/documents/ip.js';
import { subtract } from '../../src/policy/ranges.js';
import { holds } from './random.js';

const ranges = fc
  .array(fc.tuple(fc.constantFrom(4 as const, 6 as const), fc.bigInt(0n, 30n), fc.bigInt(0n, 8n)), {
    maxLength: 8,
  })
  .map((list) =>
    mergeRanges(list.map(([family, first, more]): Range => ({ family, first, last: first + more }))),
  );

const single = (list: readonly Range[]) =>
  new Set(
    list.flatMap(({ family, first, last }) =>
      Array.from({ length: Number(last - first) + 1 }, (_, i) => `${family} ${first + BigInt(i)}`),
    ),
  );

test('subtract leaves what only the first has, merged', () => {
  holds('policy-ranges.test.ts', fc.tuple(ranges, ranges), 2000, ([from, less]) => {
    const left = subtract(from, less);
    const holes = single(less);
    expect(single(left)).toEqual(new Set([...single(from)].filter((one) => !holes.has(one))));
    expect(mergeRanges(left)).toEqual(left);
  });
});
