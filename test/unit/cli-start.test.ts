// The command line starts quickly: what only some commands need is imported where they need it.
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { expect, test } from 'vitest';

const MAIN = resolve(import.meta.dirname, '../../src/cli/main.ts');
/** Imports and exports that are there at run time; `import(...)` is not among them. */
const STATIC = /^(?:import|export) (?!type\b)(?:[^'"]*? from )?'([^']+)';$/gms;

/** The packages that a module imports, by itself or through others of ours. */
function packagesOf(module: string, seen = new Set<string>()): Set<string> {
  const packages = new Set<string>();
  if (seen.has(module)) return packages;
  seen.add(module);
  for (const [, name = ''] of readFileSync(module, 'utf8').matchAll(STATIC)) {
    if (!name.startsWith('.')) packages.add(name);
    else
      for (const one of packagesOf(join(dirname(module), name.replace(/\.js$/, '.ts')), seen))
        packages.add(one);
  }
  return packages;
}

test('before a command runs one package is loaded, and none of those that take long', () => {
  const packages = [...packagesOf(MAIN)].filter((name) => !name.startsWith('node:'));
  expect(packages).toEqual(['commander']);
});
