// The reference is what the commands say of themselves, and every command shows how it is used.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { buildProgram } from '../../src/cli/program.js';
import { manPages } from '../../src/reference/man.js';
import { cliMarkdown } from '../../src/reference/markdown.js';
import { metricsMarkdown } from '../../src/reference/metrics.js';
import { pagesOf } from '../../src/reference/pages.js';
import { traceJsonSchema } from '../../src/reference/trace-schema.js';

const REFERENCE = resolve(import.meta.dirname, '../../docs/reference');
const PROGRAM = resolve(import.meta.dirname, '../../bin/headgate');
const program = buildProgram();
const pages = pagesOf(program);

test.each([
  ['cli.md', cliMarkdown(pages)],
  ['metrics.md', metricsMarkdown()],
  ['trace.schema.json', traceJsonSchema()],
])('docs/reference/%s is up to date (scripts/reference writes it)', (name, text) => {
  expect(readFileSync(join(REFERENCE, name), 'utf8')).toBe(text);
});

test('help and reference show the same defaults whatever the environment says', () => {
  const env = { ...process.env, HEADGATE_RUN_DIR: '/elsewhere' };
  const help = execFileSync(PROGRAM, ['apply', '--help'], { env, encoding: 'utf8' });
  expect(help.replace(/\s+/g, ' ')).toContain('default: "/run/headgate", env: HEADGATE_RUN_DIR');
});

describe('examples', () => {
  test.each(pages)('of $name', ({ name, examples, options }) => {
    expect(examples.length).toBeGreaterThan(0);
    const known = options.flatMap(([flags]) => flags.match(/--?[a-z][a-z-]*/g) ?? []);
    for (const [line] of examples) {
      expect(line, 'names the command').toMatch(new RegExp(`(^|[ |(])${name}( |$|\\))`));
      const own = line.slice(line.indexOf(name)).split(/[|;)]/)[0] ?? '';
      for (const option of own.match(/(?<= )--?[a-z][a-z-]*/g) ?? []) expect(known, line).toContain(option);
    }
  });
});

describe('man pages', () => {
  const files = manPages(pages, program.description(), '1.2.3');

  test('one of each command, and one of the program', () => {
    expect([...files.keys()].sort()).toEqual(
      ['headgate', ...pages.map(({ name }) => name.replaceAll(' ', '-'))].map((name) => `${name}.1`).sort(),
    );
  });

  test.each([...files])('%s is without faults, and shows its options', (name, text) => {
    const folder = mkdtempSync(join(tmpdir(), 'hg-man-'));
    try {
      writeFileSync(join(folder, name), text);
      const args = ['-man', '-Tascii', '-P-cbou', '-wmac', '-wescape', '-wmissing', join(folder, name)];
      const { stdout: shown, stderr } = spawnSync('groff', args, { encoding: 'utf8' });
      expect(stderr).toBe('');
      const page = pages.find((one) => `${one.name.replaceAll(' ', '-')}.1` === name);
      for (const [flags] of page?.options ?? []) expect(shown).toContain(flags);
      for (const [line] of page?.examples ?? []) expect(shown.replace(/\s+/g, ' ')).toContain(line);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
