// How data is printed: tables for people, JSON and YAML for programs. Data goes to stdout, messages to stderr.
//
// On a terminal a table is fitted to its width: the columns that may shrink lose their ends. Elsewhere nothing is
// cut. Colour only on a terminal, and never with NO_COLOR.
import { createRequire } from 'node:module';
import { Option } from 'commander';
import { showBanner } from './banner.js';

export const FORMATS = ['table', 'wide', 'json', 'yaml'] as const;
export type Format = (typeof FORMATS)[number];

export interface Column<T> {
  title: string;
  value: (row: T) => string | number | undefined;
  align?: 'right';
  /** Only in -o wide. */
  wide?: boolean;
  /** May be cut to fit a terminal. */
  shrink?: boolean;
}

export function outputOption(): Option {
  return new Option('-o, --output <format>', 'how to print the data').choices([...FORMATS]).default('table');
}

/** Prints rows as a table, or `data` (by default the rows) as JSON or YAML. */
export function print<T>(
  format: Format,
  rows: readonly T[],
  columns: readonly Column<T>[],
  data: unknown = rows,
): void {
  if (format === 'json' || format === 'yaml') {
    printData(format, data);
    return;
  }
  const shown = columns.filter((column) => format === 'wide' || !column.wide);
  out(renderTable(rows, shown, terminalWidth()));
  showBanner();
}

export function printData(format: 'json' | 'yaml', data: unknown): void {
  out(format === 'json' ? `${JSON.stringify(data, null, 2)}\n` : yamlOf(data));
}

/** As YAML, on as many lines as it has parts. The library is loaded only here: that takes a while. */
export function yamlOf(data: unknown): string {
  const { stringify } = createRequire(import.meta.url)('yaml') as typeof import('yaml');
  return stringify(data, { aliasDuplicateObjects: false, lineWidth: 0 });
}

export function out(text: string): void {
  process.stdout.write(text);
}

export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

function terminalWidth(): number | undefined {
  return process.stdout.isTTY ? process.stdout.columns : undefined;
}

const GAP = 2;
const LEAST_WIDTH = 8;

/** Columns two blanks apart, a title line, no trailing blanks. `width` undefined: as wide as it comes. */
export function renderTable<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  width: number | undefined,
): string {
  const cells = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ value }) => String(value(row) ?? '-'))),
  ];
  const widths = columns.map((_, i) => Math.max(...cells.map((line) => (line[i] as string).length)));
  if (width !== undefined) shrink(widths, columns, width);
  return cells
    .map((line) =>
      line
        .map((cell, i) => fit(cell, widths[i] as number, columns[i]?.align))
        .join(' '.repeat(GAP))
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

function shrink<T>(widths: number[], columns: readonly Column<T>[], width: number): void {
  const total = () => widths.reduce((sum, one) => sum + one + GAP, -GAP);
  while (total() > width) {
    const candidates = columns.flatMap((column, i) =>
      column.shrink && (widths[i] as number) > LEAST_WIDTH ? [i] : [],
    );
    if (candidates.length === 0) return;
    const widest = candidates.reduce((best, i) =>
      (widths[i] as number) > (widths[best] as number) ? i : best,
    );
    widths[widest] = (widths[widest] as number) - 1;
  }
}

function fit(cell: string, width: number, align: 'right' | undefined): string {
  const cut = cell.length > width ? `${cell.slice(0, width - 1)}…` : cell;
  return align === 'right' ? cut.padStart(width) : cut.padEnd(width);
}

export function useColor(
  stream: NodeJS.WriteStream = process.stdout,
  env: NodeJS.ProcessEnv = process.env,
): boolean {
  return stream.isTTY && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
}

const COLORS = { red: 31, green: 32, yellow: 33, bold: 1 } as const;

export function paint(color: keyof typeof COLORS, text: string): string {
  return useColor() ? `\u001b[${COLORS[color]}m${text}\u001b[0m` : text;
}

/** A file below the working directory as a relative path. */
export function shortPath(file: string, cwd = process.cwd()): string {
  return file.startsWith(`${cwd}/`) ? file.slice(cwd.length + 1) : file;
}

/** 1234567 bytes as `1.2M`; powers of 1000. */
export function quantity(value: number): string {
  const units = ['', 'k', 'M', 'G', 'T', 'P'];
  let scaled = value;
  let unit = 0;
  while (scaled >= 1000 && unit < units.length - 1) {
    scaled /= 1000;
    unit += 1;
  }
  return `${unit === 0 || scaled >= 100 ? Math.round(scaled) : scaled.toFixed(1)}${units[unit] ?? ''}`;
}

/** Seconds as `45s`, `3m20s`, `2h5m`, `3d4h`. */
export function duration(seconds: number): string {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${whole % 60}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h${Math.floor((whole % 3600) / 60)}m`;
  return `${Math.floor(whole / 86400)}d${Math.floor((whole % 86400) / 3600)}h`;
}

/** While a long work runs: one line on stderr when that is a terminal, removed at its end. */
export async function withProgress<T>(text: string, work: Promise<T>): Promise<T> {
  return withBar(() => work, text);
}

/** The same with a bar, for a work that tells where it is. */
export async function withBar<T>(
  work: (show: ((progress: { step: string; done: number }) => void) | undefined) => Promise<T>,
  text = `${bar(0)} send`,
): Promise<T> {
  if (!process.stderr.isTTY) return work(undefined);
  const began = Date.now();
  let line = text;
  const draw = () => {
    const seconds = Math.round((Date.now() - began) / 1000);
    process.stderr.write(`\r${line} ${seconds} s\u001b[K`);
  };
  const timer = setInterval(draw, 500);
  try {
    return await work(({ step, done }) => {
      line = `${bar(done)} ${step}`;
      if (Date.now() - began >= 500) draw();
    });
  } finally {
    clearInterval(timer);
    if (Date.now() - began >= 500) process.stderr.write('\r\u001b[K');
  }
}

const BAR_WIDTH = 20;

/** `[#######-------------]  35%` for 0.35. */
export function bar(done: number): string {
  const full = Math.round(done * BAR_WIDTH);
  const percent = String(Math.round(done * 100)).padStart(3);
  return `[${'#'.repeat(full)}${'-'.repeat(BAR_WIDTH - full)}] ${percent}%`;
}
