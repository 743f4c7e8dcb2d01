// The generator's command line: node dist/lab/generate/main.js tuples|headers|datacenter ...
//
// The seed is printed and can be given again: the same seed, the same files.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Draft } from './datacenter.js';
import { draftsOf, generateDatacenter } from './datacenter.js';
import { FAMILIES, families } from './families.js';
import { FLOW_KINDS, FlowDraw } from './flows.js';
import { formatHeader, generateHeaders, HEADER_KINDS } from './headers.js';
import { Random } from './random.js';
import { formatTuple, parseTuples } from './tuple.js';
import { generateTuples } from './tuples.js';
import { documentsOf, writeYaml } from './write.js';

const usage = `usage:
  generate tuples     --out FILE [--family ${FAMILIES.join('|')}] [--rules N] [--seed S]
                      5-tuple rules in ClassBench's form
  generate headers    --out FILE --set FILE [--kind ${HEADER_KINDS.join('|')}] [--count N] [--pareto A,B] [--seed S]
                      headers to look up in such a set: source, destination, ports, protocol, rule; in decimal
  generate datacenter --out DIR [--rules N] [--workloads N] [--flows N] [--seed S]
                      documents for headgate apply -f DIR, and flows-corner.ndjson, flows-uniform.ndjson
`;

const POLICIES_OF_FILE = 100;

class WrongUsage extends Error {}

function main(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      out: { type: 'string' },
      family: { type: 'string', default: 'acl' },
      rules: { type: 'string', default: '1000' },
      workloads: { type: 'string', default: '100' },
      set: { type: 'string' },
      kind: { type: 'string', default: 'corner' },
      count: { type: 'string', default: '10000' },
      flows: { type: 'string', default: '10000' },
      pareto: { type: 'string', default: '1,0' },
      seed: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const what = positionals[0];
  const { out } = values;
  if (positionals.length !== 1 || out === undefined) throw new WrongUsage('say what to generate, and --out');
  const seed = values.seed === undefined ? Date.now() % 2 ** 31 : whole('seed', values.seed, 0, 2 ** 53 - 1);
  const random = new Random(seed);
  const size = {
    rules: whole('rules', values.rules, 1, 1_000_000),
    workloads: whole('workloads', values.workloads, 1, 10_000),
  };
  const count = whole('count', values.count, 1, 10_000_000);
  if (what === 'tuples') {
    const family = families[oneOf('family', values.family, FAMILIES)];
    writeLines(out, generateTuples(family, size.rules, random).map(formatTuple));
  } else if (what === 'headers') {
    if (values.set === undefined) throw new WrongUsage('say with --set which rules');
    const [a = 0, b = 0] = values.pareto.split(',').map(Number);
    if (!(a > 0 && b >= 0)) throw new WrongUsage('--pareto takes A,B, with A above 0');
    const tuples = parseTuples(readFileSync(values.set, 'utf8'));
    const kind = oneOf('kind', values.kind, HEADER_KINDS);
    writeLines(out, generateHeaders(tuples, count, kind, random, { a, b }).map(formatHeader));
  } else if (what === 'datacenter') {
    writeDatacenter(out, size, whole('flows', values.flows, 0, 10_000_000), random);
  } else {
    throw new WrongUsage(`there is no "${what}"`);
  }
  process.stderr.write(`${what} in ${out}; again with --seed ${seed}\n`);
}

function writeDatacenter(
  folder: string,
  size: { rules: number; workloads: number },
  flows: number,
  random: Random,
): void {
  const datacenter = generateDatacenter(size, random);
  const { host, segments, workloads, groups, services, policies } = datacenter;
  const files: [string, Draft[]][] = [
    ['host.yaml', [host]],
    ['workloads.yaml', [...segments, ...workloads]],
    ['groups.yaml', groups],
    ['services.yaml', services],
  ];
  for (let i = 0; i * POLICIES_OF_FILE < policies.length; i++) {
    const some = policies.slice(i * POLICIES_OF_FILE, (i + 1) * POLICIES_OF_FILE);
    files.push([`policies-${String(i).padStart(4, '0')}.yaml`, some]);
  }
  mkdirSync(folder, { recursive: true });
  for (const [file, drafts] of files) writeFileSync(join(folder, file), writeYaml(drafts));
  if (flows === 0) return;
  const draw = new FlowDraw(documentsOf(draftsOf(datacenter)), random);
  for (const kind of FLOW_KINDS) {
    const lines = Array.from({ length: flows }, () => JSON.stringify(draw.draw(kind)));
    writeLines(join(folder, `flows-${kind}.ndjson`), lines);
  }
}

function writeLines(file: string, lines: readonly string[]): void {
  writeFileSync(file, `${lines.join('\n')}\n`);
}

function whole(what: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new WrongUsage(`--${what} takes a whole number from ${least} to ${most}, not "${text}"`);
}

function oneOf<T extends string>(what: string, text: string, words: readonly T[]): T {
  const found = words.find((word) => word === text);
  if (found === undefined) throw new WrongUsage(`--${what} takes one of ${words.join(', ')}, not "${text}"`);
  return found;
}

try {
  main();
} catch (cause) {
  process.stderr.write(`generate: ${cause instanceof Error ? cause.message : String(cause)}\n`);
  const isUsage =
    cause instanceof WrongUsage || (cause as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
  if (isUsage) process.stderr.write(usage);
  process.exitCode = isUsage ? 2 : 1;
}
