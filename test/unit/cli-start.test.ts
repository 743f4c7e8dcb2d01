// The command line starts quickly: what only some commands need is imported where they need it.
import { readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { expect, test } from 'vitest';

const MAIN = resolve(import.meta.dirname, '../../src/cli/main.ts');
/** Imports and exports that are there at run time; `import(...)` is not among them. */
const STATIC = /^(?:import|export) (?!type\b)(?:[^'"]*? from )?'([^']+)';$/gms;

/** The packages and the modules of ours that a module imports, by itself or through others of ours. */
function importsOf(module: string, imports = new Set<string>()): Set<string> {
  if (imports.has(module)) return imports;
  imports.add(module);
  for (const [, name = ''] of readFileSync(module, 'utf8').matchAll(STATIC)) {
    if (!name.startsWith('.')) imports.add(name);
    else importsOf(join(dirname(module), name.replace(/\.js$/, '.ts')), imports);
  }
  return imports;
}

const PROGRAM = resolve(import.meta.dirname, '../../src/cli/program.ts');

test('before a command runs one package is loaded, and none of those that take long', () => {
  const packages = [...importsOf(PROGRAM)].filter((name) => !/^(node:|\/)/.test(name));
  expect(packages).toEqual(['commander']);
});

test('a daemon does not wait for other commands', () => {
  const commands = [...importsOf(MAIN)].filter((name) => name.includes('/commands/'));
  expect(commands.map((name) => basename(name))).toEqual(['daemon.ts']);
});
