// Mutated documents: whatever the text, reading, checking and compiling never throw; what is wrong is an error
// with a place, and what passes makes a message that the engine's schema accepts.
//
//   HEADGATE_FUZZ_RUNS=1000000 npx vitest run test/property/documents-fuzz.test.ts
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { formatYaml, readDocuments } from '../../src/documents/index.js';
import { deltaSchema } from '../../src/engine/messages.js';
import { check, compile, diff } from '../../src/policy/index.js';
import { generator } from './random.js';
import { SYNTAX } from './yaml-syntax.js';

const RUNS = Number(process.env['HEADGATE_FUZZ_RUNS'] ?? 3000);
const SEED = Number(process.env['HEADGATE_SEED'] ?? Date.now() % 2 ** 31);

const FILES = ['host', 'segment', 'workloads', 'policy'].map((name) =>
  readFileSync(`examples/three-tier/${name}.yaml`, 'utf8'),
);
const DOCUMENTS = FILES.flatMap((text) => text.replace(/^ *#.*\n/gm, '').split('---\n')).concat(
  'apiVersion: headgate/v1\nkind: Workload\nmetadata: {name: up}\nspec: {segment: lan, attach: {nic: {interface: eth1, mac: "02:00:00:00:00:01"}}, addresses: [10.9.0.0/16, "fd09::1-fd09::9"]}\n',
  'apiVersion: headgate/v1\nkind: Segment\nmetadata: {name: lan2}\nspec: {vlan: 5, innerVlan: 6, vni: 7, tracker: lan}\n',
  'apiVersion: headgate/v1\nkind: Group\nmetadata: {name: all}\nspec: {workloads: {matchExpressions: [{key: tier, operator: In, values: [web]}], names: [web-1]}, groups: [web]}\n',
);
const TOKENS = [
  ...SYNTAX,
  ...[
    '*a',
    '@',
    'null',
    '~',
    'true',
    '-1',
    '0',
    '1e99',
    '.nan',
    '.inf',
    '0x10',
    '65536',
    '18446744073709551616',
    '""',
    '__proto__',
    'constructor',
    'toString',
  ],
  ...[
    '10.0.0.0/8',
    '10.0.0.1/8',
    '::/0',
    '0.0.0.0/0',
    '::1-10.0.0.1',
    '255.255.255.255',
    'fe80::1%a',
    '02:00:00:00:00:01',
    'a'.repeat(300),
  ],
  ...[
    'spec',
    'rules',
    'from',
    'to',
    'groups',
    'workloads',
    'addresses',
    'services',
    'action',
    'allow',
    'pass',
    'kind',
    'Group',
    'tap',
    'nic',
  ],
];

const random = generator(SEED);
const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
const place = (text: string) => Math.floor(random() * (text.length + 1));

const MUTATIONS: ((text: string) => string)[] = [
  (text) => {
    const at = place(text);
    return text.slice(0, at) + String.fromCharCode(32 + Math.floor(random() * 95)) + text.slice(at + 1);
  },
  (text) => {
    const at = place(text);
    return text.slice(0, at) + pick(TOKENS) + text.slice(at);
  },
  (text) => {
    const at = place(text);
    return text.slice(0, at) + text.slice(at + 1 + Math.floor(random() * 8));
  },
  // A value for another value.
  (text) => text.replace(/: ([^\n]+)/, (whole) => (random() < 0.5 ? `: ${pick(TOKENS)}` : whole)),
  (text) => {
    const words = [...text.matchAll(/[\w./:-]+/g)];
    const word = words.length > 0 ? pick(words) : undefined;
    return word ? text.slice(0, word.index) + pick(TOKENS) + text.slice(word.index + word[0].length) : text;
  },
  // Lines lost, doubled, swapped, moved in and out.
  (text) => {
    const lines = text.split('\n');
    const at = Math.floor(random() * lines.length);
    const line = lines[at] ?? '';
    const change = [[], [line, line], [`  ${line}`], [line.slice(2)], [lines[at + 1] ?? '', line]];
    lines.splice(at, 1, ...pick(change));
    return lines.join('\n');
  },
  (text) => text + '---\n' + pick(DOCUMENTS),
  (text) => text.slice(0, place(text)) + pick(DOCUMENTS).slice(place(pick(DOCUMENTS))),
];

test(`${RUNS} mutated documents are read, checked and compiled without a fault`, { timeout: 0 }, () => {
  let accepted = 0;
  let refused = 0;
  for (let run = 0; run < RUNS; run++) {
    let text = pick(DOCUMENTS);
    for (let i = Math.floor(random() * 4); i >= 0; i--) text = pick(MUTATIONS)(text);
    try {
      if (handle(text)) accepted++;
      else refused++;
    } catch (cause) {
      const again = `HEADGATE_SEED=${SEED} HEADGATE_FUZZ_RUNS=${run + 1} npx vitest run test/property/documents-fuzz.test.ts`;
      throw new Error(`run ${run}; repeat with: ${again}\n${JSON.stringify(text)}\n${String(cause)}`, {
        cause,
      });
    }
  }
  console.log(`seed ${SEED}: ${accepted} accepted, ${refused} refused`);
  expect(accepted).toBeGreaterThan(RUNS / 100);
  expect(refused).toBeGreaterThan(RUNS / 10);
});

const known = readDocuments(FILES.map((text, i) => ({ file: `base${i}.yaml`, text }))).documents;

/** Whether the text was accepted. */
function handle(text: string): boolean {
  const { documents, errors } = readDocuments([{ file: 'fuzz.yaml', text }]);
  const lines = text.split('\n').length;
  for (const { file, line, column, message } of errors) {
    expect(
      file === 'fuzz.yaml' &&
        line >= 1 &&
        line <= lines + 1 &&
        column >= 1 &&
        message.length > 3 &&
        message.length < 2000,
    ).toBe(true);
  }
  if (errors.length > 0) return false;
  const again = readDocuments([{ file: 'again.yaml', text: formatYaml(documents) }]);
  expect(again.documents.map(({ metadata, spec }) => ({ metadata, spec }))).toEqual(
    documents.map(({ metadata, spec }) => ({ metadata, spec })),
  );
  // Referred to, so that documents on their own are compiled too.
  const names = new Set(documents.map(({ kind, metadata }) => `${kind}/${metadata.name}`));
  const hosts = documents.some(({ kind }) => kind === 'Host');
  const rest = known.filter(
    ({ kind, metadata }) => !names.has(`${kind}/${metadata.name}`) && !(hosts && kind === 'Host'),
  );
  const all = [...rest, ...documents];
  const checked = check(all);
  for (const { line, message } of [...checked.errors, ...checked.warnings])
    expect(line >= 1 && message.length > 3).toBe(true);
  if (checked.errors.length > 0) return false;
  const nothing = {
    generation: 0,
    addressSets: {},
    rules: [],
    segments: {},
    workloads: {},
    scopes: {},
    portals: {},
    tags: {},
    entries: {},
  };
  deltaSchema.parse(diff(nothing, compile(all).desired));
  return true;
}
