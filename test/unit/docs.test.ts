// The documentation says what is there: links lead somewhere, commands, document fields and drop reasons are those of
// the code, and none of the code's is missing.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { readDocuments } from '../../src/documents/index.js';
import {
  appliedToSchema,
  exceptSchema,
  ruleSelectionSchema,
  selectionSchema,
} from '../../src/documents/selection.js';
import { SPEC_SCHEMAS } from '../../src/documents/specs.js';

const ROOT = resolve(import.meta.dirname, '../..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

const NOT_OURS = ['node_modules', 'build', 'dist', 'coverage'];

/** The Markdown files of the project, as paths from its top. */
function markdown(folder = ''): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory())
      return entry.name.startsWith('.') || NOT_OURS.includes(entry.name) ? [] : markdown(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
}

const files = markdown();

/** Without code, in which nothing is a link or a heading. */
const prose = (text: string) =>
  text
    .replace(/^```[\s\S]*?^```/gm, '')
    .replace(/`[^`\n]*`/g, (code) => `\`${'x'.repeat(code.length - 2)}\``);

/** The text of a section, up to the next heading of its level or above. */
function section(text: string, heading: string): string {
  const level = /^#+/.exec(heading)?.[0].length ?? 0;
  const lines = text.split('\n');
  const start = lines.indexOf(heading);
  if (start < 0) throw new Error(`there is no heading "${heading}"`);
  const length = lines.slice(start + 1).findIndex((line) => new RegExp(`^#{1,${level}} `).test(line));
  return lines.slice(start, length < 0 ? undefined : start + 1 + length).join('\n');
}

/** The cells of the rows of the tables in a text, headings and rulers left out. */
function rows(text: string): string[][] {
  const lines = text.split('\n');
  return lines
    .filter(
      (line, i) =>
        line.startsWith('|') && !/^\|[\s|:-]+$/.test(line) && !/^\|[\s|:-]+$/.test(lines[i + 1] ?? ''),
    )
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

const codes = (cell: string | undefined) =>
  [...(cell ?? '').matchAll(/`([^`]+)`/g)].map(([, code = '']) => code);

describe('links', () => {
  /** As GitHub names headings. */
  const anchors = (text: string) =>
    text
      .replace(/^```[\s\S]*?^```/gm, '')
      .split('\n')
      .filter((line) => /^#+ /.test(line))
      .map((line) =>
        line
          .replace(/^#+ /, '')
          .toLowerCase()
          .replace(/[^\p{L}\p{N} _-]/gu, '')
          .replaceAll(' ', '-'),
      );

  test('there are documents to look at', () => expect(files).toContain('README.md'));

  test.each(files)('of %s', (path) => {
    const broken: string[] = [];
    for (const [, target = ''] of prose(read(path)).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [file = '', anchor] = target.split('#');
      const to = file === '' ? path : join(dirname(path), file);
      if (!existsSync(join(ROOT, to))) broken.push(target);
      else if (anchor !== undefined && !anchors(read(to)).includes(anchor)) broken.push(target);
    }
    expect(broken).toEqual([]);
  });
});

test('the commands of the README are those of the program', () => {
  const help = (...args: string[]) =>
    execFileSync(join(ROOT, 'bin/headgate'), [...args, '--help'], { encoding: 'utf8' });
  const commandsIn = (text: string) =>
    [...(text.split('\nCommands:\n')[1] ?? '').matchAll(/^ {2}([a-z]+)/gm)]
      .map(([, name = '']) => name)
      .filter((name) => name !== 'help');
  const there = commandsIn(help()).flatMap((name) => {
    const below = commandsIn(help(name));
    return below.length === 0 ? [name] : below.map((sub) => `${name} ${sub}`);
  });
  const told = rows(section(read('README.md'), '## Commands')).flatMap(([cell]) => codes(cell));
  expect(told.map((command) => command.replace(/^headgate /, '')).sort()).toEqual(there.sort());
});

test('the drop reasons of docs/architecture.md are those of reasons.def', () => {
  const list = read('native-bindings/packet/reasons.def');
  const told = rows(section(read('docs/architecture.md'), '## Drop reasons'));
  expect(told.map(([category]) => category)).toEqual(
    [...list.matchAll(/^\/\/ ([a-z ]+)$/gm)].map(([, name]) => name),
  );
  const known = [...list.matchAll(/^REASON\(\w+, "([^"]+)"/gm)].map(([, name]) => name);
  for (const [category, reasons] of told) {
    expect(codes(reasons).length, category).toBeGreaterThan(0);
    expect(known, category).toEqual(expect.arrayContaining(codes(reasons)));
  }
});

test('the timeouts of the documentation are those of the engine', () => {
  const header = read('native-bindings/tables/timeouts.h');
  const [list = ''] = /^struct Timeouts \{[^}]*\}/m.exec(header) ?? [];
  const seconds = Object.fromEntries(
    [...list.matchAll(/^ {2}uint32_t (\w+) = ([\d']+);/gm)].map(([, name = '', value = '']) => [
      name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()),
      Number(value.replaceAll("'", '')) / 1000,
    ]),
  );
  expect(Object.keys(seconds)).toContain('tcpEstablished');
  // The table of timeouts names fields; others stand in the section too.
  const inArchitecture = rows(section(read('docs/architecture.md'), '## Connections')).filter(([field]) =>
    field?.startsWith('`'),
  );
  expect(
    Object.fromEntries(inArchitecture.map(([field, value]) => [codes(field)[0], Number(value)])),
  ).toEqual(seconds);
  const inPolicy = rows(section(read('docs/policy.md'), '### Host')).filter(([field]) =>
    field?.startsWith('`timeouts.'),
  );
  expect(
    Object.fromEntries(inPolicy.map(([field, , value]) => [codes(field)[0]?.slice(9), Number(value)])),
  ).toEqual(seconds);
});

test('the stages of docs/architecture.md and of the picture are those of the pipeline', () => {
  const stages = [
    ...read('native-bindings/pipeline/pipeline.cc').matchAll(/^ {4}\{"(\w+)", \w+_stage\}/gm),
  ].map(([, name]) => name);
  expect(stages.length).toBeGreaterThan(5);
  const told = rows(section(read('docs/architecture.md'), "## A frame's path"))
    .map(([name]) => name)
    .slice(0, stages.length + 2);
  expect(told).toEqual(['receive', ...stages, 'transmit']);
  const drawn = [...read('docs/pictures/frame.svg').matchAll(/class="name"[^>]*>(\w+)</g)].map(
    ([, name]) => name,
  );
  expect(drawn).toEqual(told);
});

describe('docs/policy.md', () => {
  const text = read('docs/policy.md');
  const selections: unknown[] = [selectionSchema, ruleSelectionSchema, appliedToSchema, exceptSchema];

  /** Dotted paths of all fields, `*` behind those that are required. Selections inside are a section of their own. */
  function fieldsOf(schema: z.ZodType, path = ''): string[] {
    const kind = schema.def.type;
    if (kind === 'optional') return fieldsOf((schema as z.ZodOptional<z.ZodType>).unwrap(), path);
    if (kind === 'array') return fieldsOf((schema as z.ZodArray<z.ZodType>).element, `${path}[]`);
    if (kind !== 'object' || (path !== '' && selections.includes(schema))) return [];
    return Object.entries((schema as z.ZodObject).shape).flatMap(([key, inner]) => {
      const at = path === '' ? key : `${path}.${key}`;
      return [`${at}${inner.def.type === 'optional' ? '' : '*'}`, ...fieldsOf(inner as z.ZodType, at)];
    });
  }

  const { Group, ...kinds } = SPEC_SCHEMAS;
  test('a Group is a selection', () => expect(Group).toBe(selectionSchema));

  test.each(Object.entries({ ...kinds, Selection: selectionSchema }))(
    'has all fields of %s',
    (kind, schema) => {
      const told = rows(section(text, `### ${kind}`)).flatMap(([cell = '']) =>
        codes(cell).map((field) => `${field}${cell.startsWith('**') ? '*' : ''}`),
      );
      expect(told.sort()).toEqual(fieldsOf(schema).sort());
    },
  );

  test('its examples can be read', () => {
    const examples = [...text.matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(([, yaml = '']) => yaml);
    expect(examples.length).toBeGreaterThan(5);
    for (const example of examples) {
      expect(readDocuments([{ file: 'docs/policy.md', text: example }]).errors, example).toEqual([]);
    }
  });
});
