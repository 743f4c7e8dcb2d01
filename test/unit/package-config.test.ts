// The host file that the package installs: it attaches nothing, and its comments have every key that there is, with the
// defaults that hold.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { hostSpecSchema } from '../../src/documents/host.js';
import { timeoutsSchema } from '../../src/engine/messages.js';
import { readHostFile } from '../../src/shared/host-file.js';

const text = readFileSync(resolve(import.meta.dirname, '../../packaging/headgate.yaml'), 'utf8');
/** Commented keys made keys; prose stays a comment. */
const uncommented = text.replace(/^( +)# ( *)(?=[a-zA-Z]+:( |$))/gm, '$1$2').replace(/^( +)#  +#/gm, '$1#');

function read(content: string) {
  const folder = mkdtempSync(join(tmpdir(), 'headgate-config-'));
  try {
    const file = join(folder, 'headgate.yaml');
    writeFileSync(file, content);
    return readHostFile(file, process.getuid?.());
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('as it is installed it attaches nothing', () => {
  expect(read(text)).toMatchObject({ default: 'allow', namespaces: [], interfaces: [], timeouts: {} });
});

test('every key is in it', () => {
  const { spec } = read(uncommented).document;
  expect(Object.keys(spec).sort()).toEqual(Object.keys(hostSpecSchema.shape).sort());
  expect(Object.keys(spec.timeouts ?? {}).sort()).toEqual(Object.keys(timeoutsSchema.shape).sort());
  expect(Object.keys(spec.attach ?? {}).sort()).toEqual(['interfaces', 'namespaces']);
  expect(Object.keys(spec.flowLog ?? {}).sort()).toEqual(['activeTimeout', 'ipfix', 'jsonLines']);
  expect(Object.keys(spec.flowLog?.ipfix ?? {}).sort()).toEqual(['collector', 'mtu', 'observationDomain']);
});

test('the sizes that it shows are the defaults', () => {
  const [shown, unset] = [read(uncommented), read(text)];
  const { workers, connections, rules } = unset;
  expect(shown).toMatchObject({ workers, connections, rules, user: 'headgate' });
});

test('the timeouts that it shows are those of docs/policy.md', () => {
  const told = readFileSync(resolve(import.meta.dirname, '../../docs/policy.md'), 'utf8');
  const rows = [...told.matchAll(/^\| `timeouts\.(\w+)` +\|[^|]+\| (\d+) +\|/gm)];
  expect(read(uncommented).timeouts).toEqual(
    Object.fromEntries(rows.map(([, name, value]) => [name, Number(value)])),
  );
});
