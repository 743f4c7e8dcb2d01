import { describe, expect, it } from 'vitest';
import {
  bar,
  duration,
  quantity,
  renderTable,
  shortPath,
  useColor,
  type Column,
} from '../../src/cli/output.js';

interface Row {
  name: string;
  detail?: string;
  count: number;
}

const columns: Column<Row>[] = [
  { title: 'NAME', value: ({ name }) => name },
  { title: 'DETAIL', value: ({ detail }) => detail, shrink: true },
  { title: 'COUNT', value: ({ count }) => count, align: 'right' },
];

const rows: Row[] = [
  { name: 'a', detail: 'a detail that is much longer than anybody has room for', count: 7 },
  { name: 'longer', count: 12345 },
];

describe('tables', () => {
  it('are as wide as what they hold, without trailing blanks', () => {
    expect(
      renderTable(
        [
          { name: 'a', count: 7 },
          { name: 'longer', detail: 'x', count: 12345 },
        ],
        columns,
        undefined,
      ),
    ).toBe('NAME    DETAIL  COUNT\na       -           7\nlonger  x       12345\n');
  });

  it.each([40, 60, 80])('fit %d columns by cutting what may be cut', (width) => {
    const lines = renderTable(rows, columns, width).trimEnd().split('\n');
    expect(Math.max(...lines.map((line) => line.length))).toBe(Math.min(width, 69));
    if (width < 69) expect(lines[1]).toContain('…');
    expect(lines[2]).toMatch(/12345$/);
  });

  it('are not cut where nobody looks', () => {
    expect(renderTable(rows, columns, undefined)).toContain('anybody has room for');
  });

  it('keep their columns when there is no room at all', () => {
    expect(renderTable(rows, columns, 5).split('\n')[0]).toMatch(/^NAME +DETAIL +COUNT$/);
  });
});

it.each([
  [0, '0'],
  [999, '999'],
  [1000, '1.0k'],
  [1234567, '1.2M'],
  [123456, '123k'],
  [2.5e15, '2.5P'],
])('quantity %d is %s', (value, text) => {
  expect(quantity(value)).toBe(text);
});

it.each([
  [0.4, '0s'],
  [59, '59s'],
  [200, '3m20s'],
  [7500, '2h5m'],
  [273600, '3d4h'],
])('duration %d is %s', (value, text) => {
  expect(duration(value)).toBe(text);
});

it('paths below the working directory are relative', () => {
  expect(shortPath('/a/b/c.yaml', '/a/b')).toBe('c.yaml');
  expect(shortPath('/a/bc/c.yaml', '/a/b')).toBe('/a/bc/c.yaml');
});

it('colour is for terminals, and NO_COLOR is heeded', () => {
  const terminal = { isTTY: true } as NodeJS.WriteStream;
  expect(useColor(terminal, {})).toBe(true);
  expect(useColor(terminal, { NO_COLOR: '1' })).toBe(false);
  expect(useColor({ isTTY: false } as NodeJS.WriteStream, {})).toBe(false);
});

it('a bar shows how much is done', () => {
  expect([0, 0.35, 1].map(bar)).toEqual([
    '[--------------------]   0%',
    '[#######-------------]  35%',
    '[####################] 100%',
  ]);
});
