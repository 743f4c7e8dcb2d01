// How scripts/bench classify sums up, and what bench_classify refuses.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import {
  buildResults,
  compareRates,
  geometricMean,
  leastOfFirewalls,
  setResults,
  sizeClass,
  summarizeSize,
  type Line,
  type SetResult,
} from '../../src/lab/bench/classify-report.js';

const M = 1e6;

test('best rounds are compared, and rte_acl with its best algorithm', () => {
  const compared = compareRates({
    headgate: [4 * M, 6 * M, 5 * M],
    linear: [0.1 * M, 0.3 * M, 0.2 * M],
    'rte_acl-scalar': [1 * M, 4 * M, 1 * M],
    'rte_acl-avx2': [2 * M, 3 * M, 5 * M],
  });
  expect(compared).toMatchObject({ headgate: 6, linear: 0.3, rte_acl: 5, algorithm: 'avx2', ratio: 1.2 });
  // 4/2, 6/4 and 5/5: in the second round another algorithm was the better one.
  expect(compared.medianRatio).toBe(1.5);
});

test('a warm memo and lookups one by one are told beside', () => {
  const rates = {
    headgate: [2 * M, 4 * M],
    linear: [M, M],
    'headgate-memo': [8 * M, 7 * M],
    'headgate-single': [M, 3 * M],
  };
  expect(compareRates(rates)).toEqual({ headgate: 4, linear: 1, memo: 8, single: 3 });
  expect(compareRates({ ...rates, 'rte_acl-scalar': [2 * M, M] })).toMatchObject({ ratio: 2, memoRatio: 4 });
});

test('without rte_acl there is no ratio', () => {
  expect(compareRates({ headgate: [2 * M], linear: [M] })).toEqual({ headgate: 2, linear: 1 });
});

test('the geometric mean', () => {
  expect(geometricMean([1, 4])).toBeCloseTo(2, 12);
  expect(geometricMean([2, 2, 2])).toBeCloseTo(2, 12);
});

test('sets are put with those of about their size', () => {
  expect([800, 9379, 46_000, 97_000].map(sizeClass)).toEqual([1000, 10_000, 50_000, 100_000]);
});

const result = (set: string, rules: number, headgate: number, rteAcl?: number): SetResult => ({
  set,
  headers: 'corner',
  rules,
  headgate,
  linear: 1,
  ...(rteAcl === undefined
    ? {}
    : { rte_acl: rteAcl, ratio: headgate / rteAcl, medianRatio: headgate / rteAcl }),
});

test('a size is summed up over its sets only; a set that rte_acl cannot build has no part in the ratio', () => {
  const results = [
    result('acl1', 10_000, 4, 8),
    result('fw1', 9000, 4, 2),
    result('ipc1', 10_000, 4),
    result('acl', 1000, 9, 1),
  ];
  expect(summarizeSize(results, 10_000)).toEqual({
    results: 3,
    headgate: 4,
    linear: 1,
    rte_acl: 4,
    ratio: 1,
    medianRatio: 1,
  });
  expect(summarizeSize(results, 100_000)).toBeUndefined();
});

test('the least of the firewall and ipc sets leaves acl sets aside', () => {
  const results = [
    result('acl1', 10_000, 1, 8),
    result('fw1', 9000, 4, 2),
    result('ipc1', 10_000, 3, 2),
    result('fw3', 10_000, 1),
  ];
  expect(leastOfFirewalls(results)?.set).toBe('ipc1');
  expect(leastOfFirewalls(results.slice(0, 1))).toBeUndefined();
});

test('lookups get the number of rules of their set', () => {
  const lines: Line[] = [
    {
      mode: 'build',
      set: 'fw1',
      rules: 77,
      widened: 0,
      headgateSeconds: 1,
      headgateBytes: 1,
    },
    { mode: 'lookups', set: 'fw1', headers: 'uniform', rates: { headgate: [M], linear: [M] } },
  ];
  expect(setResults(lines)).toEqual([{ set: 'fw1', headers: 'uniform', rules: 77, headgate: 1, linear: 1 }]);
});

test('memory is told as bytes for each rule', () => {
  const build = { mode: 'build' as const, set: 'fw1', rules: 200, widened: 3, headgateSeconds: 1 };
  expect(buildResults([{ ...build, headgateBytes: 2000, rteAclSeconds: 2, rteAclBytes: 500 }])).toEqual([
    {
      ...{ set: 'fw1', rules: 200, widened: 3, headgateSeconds: 1, rteAclSeconds: 2 },
      ...{ headgateBytesPerRule: 10, rteAclBytesPerRule: 2.5 },
    },
  ]);
});

const good = '@10.0.0.0/8\t0.0.0.0/0\t0 : 65535\t80 : 80\t0x06/0xFF\t0x0000/0x0000';

function benchClassify(rules: string) {
  const folder = mkdtempSync(join(tmpdir(), 'headgate-classify-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'rules');
  writeFileSync(path, rules);
  const program = join(process.env['HEADGATE_ROOT'] ?? '.', 'build/Release/bench_classify');
  const options = ['--rounds', '1', '--turn', '0.001', '--headers', '64'];
  return { path, ...spawnSync(program, ['sets', ...options, path], { encoding: 'utf8' }) };
}

test('bench_classify measures a rule set', () => {
  const { status, stdout } = benchClassify(`${good}\n`);
  expect(status).toBe(0);
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  expect(lines.map(({ mode }) => mode)).toEqual(['build', 'lookups', 'lookups']);
});

test.each([
  ['a word', 'hello'],
  ['a missing field', good.replace('\t80 : 80', '')],
  ['a range in the wrong order', good.replace('80 : 80', '80 : 79')],
  ['a port above 65535', good.replace('80 : 80', '80 : 65536')],
  ['an octet above 255', good.replace('10.0', '10.256')],
  ['a prefix longer than an address', good.replace('/8', '/33')],
  ['part of a protocol', good.replace('0x06/0xFF', '0x06/0x0F')],
])('bench_classify refuses %s, with file and line', (_, line) => {
  const { status, stderr, path } = benchClassify(`${good}\n${line}\n${good}\n`);
  expect(stderr).toContain(`${path}:2: not a rule of the ClassBench form`);
  expect(status).toBe(1);
});
