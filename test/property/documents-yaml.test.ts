// The fast reader of the YAML subset against the library: on random texts of many styles, and on such texts with
// random damage, what the fast reader takes is what the library takes, with every value and every place the same; and
// what parseYaml makes of several documents is what the library makes of them.
//
//   HEADGATE_SEED=1 HEADGATE_FUZZ_RUNS=1000000 npx vitest run test/property/documents-yaml.test.ts
import { expect, test } from 'vitest';
import { parseWithLibrary } from '../../src/documents/yaml-library.js';
import { isSubsetText, readSubset, Unsupported } from '../../src/documents/yaml-subset.js';
import { parseYaml } from '../../src/documents/yaml.js';
import type { Parsed } from '../../src/documents/yaml.js';
import { Random } from '../support/random.js';
import { SYNTAX } from './yaml-syntax.js';

const RUNS = Number(process.env['HEADGATE_FUZZ_RUNS'] ?? 6000);
const SEED = Number(process.env['HEADGATE_SEED'] ?? Date.now() % 2 ** 31);
const AGAIN = `HEADGATE_SEED=${SEED} HEADGATE_FUZZ_RUNS=${RUNS} npx vitest run test/property/documents-yaml.test.ts`;

const SCALARS = [
  ...[
    'a',
    'web-1',
    'allow',
    'two words',
    'a:b',
    'a#b',
    "it's",
    'x y  z',
    'é',
    '日本',
    '😀',
    'a,b',
    'a]b',
    'a: ',
    '-',
  ],
  ...['yes', 'no', 'on', 'off', 'y', 'true', 'True', 'tRue', 'false', 'null', 'Null', '~', 'NULL', 'nul', ''],
  ...[
    '0',
    '1',
    '-1',
    '+1',
    '-0',
    '007',
    '0o17',
    '017',
    '0x1F',
    '0b1',
    '1_000',
    '123456789012345678',
    '12345678901234567890',
  ],
  ...[
    '1.5',
    '.5',
    '1.',
    '1e3',
    '1E+3',
    '-1.5e-3',
    '1e',
    '.inf',
    '-.INF',
    '.nan',
    '.',
    '..',
    '1.2.3',
    '1-2',
    '-a',
    '--',
    '- a',
  ],
  ...[
    '10.0.0.1',
    '10.0.0.0/8',
    'fd00::1',
    '::1',
    '::',
    'fd00::',
    '02:00:00:00:00:01',
    '12:30:45',
    '2001-01-01',
  ],
  ...[
    '2001-12-14t21:59:43.10-05:00',
    '<<',
    '=',
    '!!str a',
    '&a b',
    '*a',
    '!x',
    '%a',
    '@a',
    '`a',
    '|',
    '>',
    '?',
    '? a',
    ':',
    ': a',
  ],
  ...[
    "'q'",
    '"q"',
    "'it''s'",
    '"a\\"b"',
    '"\\u00e9\\n"',
    '"\\x41"',
    '"\\/"',
    '"a: b"',
    "'- a'",
    '"#"',
    "''",
    '""',
    '"\\e"',
    '" a "',
  ],
  ...[
    '[',
    ']',
    '{',
    '}',
    '[a',
    '{a',
    '#',
    '# c',
    'a # c',
    'constructor',
    '__proto__',
    'toString',
    'a\tb',
    '\ta',
  ],
];
const KEYS = [
  'a',
  'b',
  'c',
  'spec',
  'rules',
  'x y',
  '1',
  '1.0',
  'true',
  "'q r'",
  '"k"',
  '"k": "v',
  'a:b',
  'é',
  'constructor',
  '0x1',
  'null',
  '-k',
];
/** What else is put into a text, or in place of a character of it. */
const DAMAGE = [
  ...SYNTAX,
  ...[' ', '\n\n', '\n---\n', ':', '-', ',', '*a', ' #', '# c\n', '%YAML 1.1\n', '...\n'],
  ...['\\', '\r', '\r\n', '\u0085'],
];

const random = new Random(SEED);

/** One value in YAML for a line that is indented so far already; block styles add lines of their own. */
function write(depth: number, indent: string): string {
  const style = depth <= 0 ? 0 : random.below(10);
  if (style < 4) return ` ${scalar()}${trailer()}`;
  if (style < 6) return ` ${flow(depth - 1, indent)}${trailer()}`;
  const deeper = indent + ' '.repeat(1 + random.below(3));
  if (style < 8) return `${trailer()}${mapLines(depth - 1, deeper)}`;
  return `${trailer()}${listLines(depth - 1, random.chance(0.3) ? indent : deeper)}`;
}

function mapLines(depth: number, indent: string): string {
  const count = 1 + random.below(3);
  return Array.from({ length: count }, () => `${between()}\n${indent}${key()}:${write(depth, indent)}`).join(
    '',
  );
}

function listLines(depth: number, indent: string): string {
  const item = () => {
    const style = random.below(4);
    const gap = ' '.repeat(1 + random.below(2));
    // A map that begins behind the dash.
    if (style === 0 && depth > 0) return `${gap}${mapLines(depth - 1, `${indent} ${gap}`).trimStart()}`;
    if (style === 1 && depth > 0) return `${gap}${listLines(depth - 1, `${indent} ${gap}`).trimStart()}`;
    return write(depth, indent);
  };
  return Array.from({ length: 1 + random.below(3) }, () => `${between()}\n${indent}-${item()}`).join('');
}

function flow(depth: number, indent: string): string {
  const space = () => (random.chance(0.1) ? `\n${indent}  ` : random.chance(0.6) ? ' ' : '');
  const value = () => (depth > 0 && random.chance(0.4) ? flow(depth - 1, indent) : scalar());
  const isList = random.chance(0.5);
  const entry = () => (isList ? value() : `${key()}${random.chance(0.9) ? ': ' : ':'}${value()}`);
  const entries = Array.from({ length: random.below(4) }, () => `${space()}${entry()}${space()}`);
  const inner = entries.join(',') + (random.chance(0.1) ? ',' : '');
  return isList ? `[${inner}]` : `{${inner}}`;
}

const PLAIN = SCALARS.slice(0, 9);
const scalar = () => random.pick(random.chance(0.6) ? PLAIN : SCALARS);
const key = () => random.pick(random.chance(0.8) ? KEYS.slice(0, 5) : KEYS);
const trailer = () => (random.chance(0.05) ? ' # comment: {' : random.chance(0.03) ? '  ' : '');
const between = () => (random.chance(0.05) ? '\n# comment' : random.chance(0.05) ? '\n' : '');

function randomText(): string {
  const style = random.below(10);
  const start = random.chance(0.3) ? '---\n' : '';
  if (style === 0) return `${start}${flow(3, '')}\n`;
  if (style === 1) return `${start}${listLines(3, '').slice(1)}\n`;
  return `${start}${mapLines(3, '').slice(1)}${random.chance(0.9) ? '\n' : ''}`;
}

function damage(text: string): string {
  const at = random.below(text.length + 1);
  const what = random.below(3);
  if (what === 0) return text.slice(0, at) + random.pick(DAMAGE) + text.slice(at);
  if (what === 1) return text.slice(0, at) + text.slice(at + 1 + random.below(4));
  return text.slice(0, at) + random.pick(DAMAGE) + text.slice(at + 1);
}

/** Every path of a value, and a few that are not there. */
function pathsOf(value: unknown, path: PropertyKey[] = []): PropertyKey[][] {
  if (typeof value !== 'object' || value === null) return [path, [...path, 'deeper']];
  const steps = Array.isArray(value) ? [...value.keys(), value.length] : [...Object.keys(value), 'missing'];
  return [
    path,
    ...steps.flatMap((step) => pathsOf((value as Record<PropertyKey, unknown>)[step], [...path, step])),
  ];
}

function describeParsed({ value, line, position }: Parsed): unknown {
  const places = pathsOf(value).flatMap((path) =>
    [false, true].map((key) => [path.join('.'), key, position(path, key)]),
  );
  return { value, line, places };
}

/** The text with what two readers made of it, for a message that can be read. */
function same(text: string, fast: unknown, library: unknown): void {
  expect({ AGAIN, text, parsed: fast }).toEqual({ AGAIN, text, parsed: library });
}

test('what the fast reader takes, the library takes, and says the same of it', () => {
  const taken = { whole: 0, damaged: 0 };
  for (let run = 0; run < RUNS; run++) {
    const isDamaged = run % 2 === 1;
    const text = isDamaged ? damage(randomText()) : randomText();
    if (!isSubsetText(text) || text.slice(1).includes('\n---')) continue;
    try {
      readSubset(text, 0, text.length);
    } catch (cause) {
      if (!(cause instanceof Unsupported)) throw new Error(`${AGAIN}\n${JSON.stringify(text)}`, { cause });
      continue;
    }
    taken[isDamaged ? 'damaged' : 'whole']++;
    const library = parseWithLibrary('f', text);
    if (/^[%.]/.test(text) || /\n[%.]/.test(text)) continue;
    const parsed = parseYaml('f', text);
    same(
      text,
      [parsed.errors, parsed.documents.map(describeParsed)],
      [library.errors, library.documents.map(describeParsed)],
    );
  }
  // If it took next to nothing, nothing would have been shown.
  expect(taken.whole).toBeGreaterThan(RUNS * 0.08);
  expect(taken.damaged).toBeGreaterThan(RUNS * 0.02);
});

test('several documents are read one by one as they are read together', () => {
  let broken = 0;
  for (let run = 0; run < RUNS / 4; run++) {
    const texts = Array.from({ length: 2 + random.below(2) }, () => randomText());
    const joined = texts.join(random.chance(0.8) ? '---\n' : '');
    const text = random.chance(0.3) ? damage(joined) : joined;
    const library = parseWithLibrary('f', text);
    const parsed = parseYaml('f', text);
    if (library.errors.length > 0) {
      broken++;
      expect({ AGAIN, text, errors: parsed.errors.length > 0 }).toEqual({ AGAIN, text, errors: true });
      // Alone, a document is not held up by the errors of others; and the library looks for a closing quote to the end
      // of the file.
      const unclosed = [...library.errors, ...parsed.errors].some(({ message }) =>
        message.includes('Missing closing'),
      );
      if (!unclosed)
        expect({ AGAIN, text, errors: parsed.errors }).toMatchObject({
          errors: expect.arrayContaining([library.errors[0]]) as unknown,
        });
    } else {
      same(
        text,
        [parsed.errors, parsed.documents.map(describeParsed)],
        [[], library.documents.map(describeParsed)],
      );
    }
  }
  expect(broken).toBeGreaterThan(RUNS / 100);
});

test('every scalar alone means what it means to the library', () => {
  let taken = 0;
  for (const one of SCALARS)
    for (const text of [
      `a: ${one}\n`,
      `- ${one}\n`,
      `a: [${one}]\n`,
      `{a: ${one}}\n`,
      `${one}: a\n`,
      `{${one}: 1}\n`,
      `a: [${one} , b]\n`,
    ]) {
      const [parsed, library] = [parseYaml('f', text), parseWithLibrary('f', text)];
      same(
        text,
        [parsed.errors, parsed.documents.map(describeParsed)],
        [library.errors, library.documents.map(describeParsed)],
      );
      try {
        if (isSubsetText(text) && readSubset(text, 0, text.length)) taken++;
      } catch {
        continue;
      }
    }
  expect(taken).toBeGreaterThan(SCALARS.length * 2);
});
