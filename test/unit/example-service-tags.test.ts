// The example of service tags: each host's documents are right, and both mean the same by each number.
import { expect, test } from 'vitest';
import { formatError, loadPaths, ofKind } from '../../src/documents/index.js';
import { check, compile } from '../../src/policy/index.js';

const load = async (host: string) => {
  const { documents, errors } = await loadPaths([`examples/service-tags/${host}`]);
  const checked = check(documents);
  expect([...errors, ...checked.errors, ...checked.warnings].map(formatError)).toEqual([]);
  return documents;
};

test('switch and gateway agree about every number', async () => {
  const [there, here] = [await load('switch'), await load('gateway')];
  const numbers = (documents: typeof there) =>
    ofKind(documents, 'ServiceTag')
      .map(({ spec }) => [spec.client, spec.service, spec.tag])
      .sort();
  expect(numbers(there)).toEqual(numbers(here));
  const sent = [...compile(there).desired.tags.values()].map(({ hops }) => hops[0]?.legs[0]?.key).sort();
  const expected = [...compile(here).desired.tags.values()].map(({ entry }) => entry?.key).sort();
  expect(sent).toEqual(expected);
});
