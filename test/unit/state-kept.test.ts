// No state without a place to outlive its process: each data member of the classes that hold an engine's state stands in
// the table of docs/decisions/upgrades.md, with what becomes of it.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const HEADERS = {
  Worker: 'native-bindings/pipeline/worker.h',
  Engine: 'native-bindings/pipeline/engine.h',
  Publisher: 'native-bindings/tables/publisher.h',
};

/** Data members of a class, by the convention that their names end with an underscore. */
function members(name: string, file: string): string[] {
  const text = readFileSync(file, 'utf8');
  const from = text.indexOf(`\nclass ${name} {`);
  const body = text.slice(from, text.indexOf('\n};', from));
  const declaration = /^ {2}\w[^\n]*?[\s*&>](\w+_)(?:\[\w+\])?(?:\{[^\n}]*\}| = [^;(]+)?;(?: *\/\/.*)?$/gm;
  return [...body.matchAll(declaration)]
    .filter(([line]) => !line.includes('return'))
    .map(([, member = '']) => member);
}

function documented(name: string): string[] {
  const rows = readFileSync('docs/decisions/upgrades.md', 'utf8').matchAll(
    /^\| `(\w+)` *\| ([^|]*)\| (pool|made anew|handed over|process) *\|/gm,
  );
  return [...rows]
    .filter(([, of]) => of === name)
    .flatMap(([, , list = '']) => [...list.matchAll(/`(\w+)`/g)].map(([, member = '']) => member));
}

test.each(Object.entries(HEADERS))('each member of %s has a place', (name, file) => {
  const found = members(name, file);
  expect(found.length).toBeGreaterThan(10);
  expect(documented(name).toSorted()).toEqual(found.toSorted());
});

test('each pool is described', () => {
  const parts = [
    ...readFileSync('native-bindings/pipeline/state.def', 'utf8').matchAll(/^PART\(\w+, "([^"]+)"/gm),
  ];
  const text = readFileSync('docs/architecture.md', 'utf8');
  const section = text.slice(text.indexOf('## Pools'), text.indexOf('## One engine after another'));
  for (const [, name = ''] of parts) expect(section).toContain(name);
});
