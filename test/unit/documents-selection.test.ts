// The selector is shared by the compiler and its oracle, so what it means is written out here by hand.
import { expect, test } from 'vitest';
import { selects } from '../../src/documents/selection.js';
import type { WorkloadSelector } from '../../src/documents/selection.js';

const labels = { tier: 'web', zone: '' };
const expression = (
  key: string,
  operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist',
  values?: string[],
) => ({
  matchExpressions: [{ key, operator, ...(values && { values }) }],
});

const cases: [what: string, selector: WorkloadSelector, selected: boolean][] = [
  ['an empty selector is every workload', {}, true],
  ['a label', { matchLabels: { tier: 'web' } }, true],
  ['another value', { matchLabels: { tier: 'db' } }, false],
  ['a missing label', { matchLabels: { app: 'web' } }, false],
  ['an empty value', { matchLabels: { zone: '' } }, true],
  ['all labels must hold', { matchLabels: { tier: 'web', zone: 'a' } }, false],
  ['a label that every object inherits', { matchLabels: { constructor: 'x' } }, false],
  ['a name', { names: ['a', 'web-1'] }, true],
  ['another name', { names: ['web-2'] }, false],
  ['no name', { names: [] }, false],
  ['name and label must both hold', { names: ['web-1'], matchLabels: { tier: 'db' } }, false],
  ['In', expression('tier', 'In', ['db', 'web']), true],
  ['In, not listed', expression('tier', 'In', ['db']), false],
  ['In, label missing', expression('app', 'In', ['web']), false],
  ['NotIn', expression('tier', 'NotIn', ['db']), true],
  ['NotIn, listed', expression('tier', 'NotIn', ['db', 'web']), false],
  ['NotIn, label missing', expression('app', 'NotIn', ['web']), true],
  ['Exists', expression('zone', 'Exists'), true],
  ['Exists, label missing', expression('app', 'Exists'), false],
  ['Exists, inherited by every object', expression('toString', 'Exists'), false],
  ['DoesNotExist', expression('app', 'DoesNotExist'), true],
  ['DoesNotExist, label there', expression('zone', 'DoesNotExist'), false],
];
test.each(cases)('%s', (_what, selector, selected) =>
  expect(selects(selector, 'web-1', labels)).toBe(selected),
);
