// Documents come back from JSON and YAML as they were; ranges from their text.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatYaml, parseDocument, readDocuments } from '../../src/documents/index.js';
import {
  contains,
  formatAddress,
  formatRange,
  mergeRanges,
  parseAddress,
  parseRange,
} from '../../src/documents/ip.js';
import type { Range } from '../../src/documents/ip.js';
import { documentSets } from './arbitrary-documents.js';
import { holds } from './random.js';

const FILE = 'documents-roundtrip.test.ts';

test('documents survive JSON with their origin, and YAML without', () => {
  holds(FILE, documentSets, 100, (documents) => {
    const stored = JSON.parse(JSON.stringify(documents)) as unknown[];
    expect(stored.map(parseDocument)).toEqual(documents);
    const read = readDocuments([{ file: 'f', text: formatYaml(documents) }]);
    expect(read.errors).toEqual([]);
    const bare = (list: typeof documents) =>
      list.map(({ kind, metadata, spec }) => ({ kind, metadata, spec }));
    expect(bare(read.documents)).toEqual(bare(documents));
  });
});

/** Values whose groups are often zero, so that `::` has something to shorten. */
const addresses = fc.oneof(
  fc.nat(0xffffffff).map((n) => ({ family: 4 as const, value: BigInt(n) })),
  fc.array(fc.oneof(fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 }).map((groups) => ({
    family: 6 as const,
    value: groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n),
  })),
);

test('addresses survive their text', () => {
  holds(FILE, addresses, 2000, (address) => {
    expect(parseAddress(formatAddress(address))).toEqual(address);
    expect(parseAddress(formatAddress(address).toUpperCase())).toEqual(address);
  });
});

const ranges: fc.Arbitrary<Range> = fc
  .record({ family: fc.constantFrom(4 as const, 6 as const), first: fc.nat(40), length: fc.nat(9) })
  .map(({ family, first, length }) => ({ family, first: BigInt(first), last: BigInt(first + length) }));

test('ranges survive their text; merged ones hold the same addresses, apart and in order', () => {
  holds(FILE, fc.array(ranges, { maxLength: 8 }), 500, (list) => {
    const merged = mergeRanges(list);
    for (const range of [...list, ...merged]) expect(parseRange(formatRange(range))).toEqual(range);
    for (const family of [4, 6] as const) {
      for (let value = 0n; value < 52n; value++) {
        const holdsIt = (all: Range[]) => all.filter((range) => contains(range, { family, value })).length;
        expect(holdsIt(merged)).toBe(Math.min(1, holdsIt(list)));
      }
    }
    for (const [i, range] of merged.slice(1).entries()) {
      const previous = merged[i] as Range;
      expect(previous.family < range.family || previous.last + 1n < range.first).toBe(true);
    }
  });
});
