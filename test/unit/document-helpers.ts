// Short ways to write documents in tests.
import { expect } from 'vitest';
import { formatError, readDocuments } from '../../src/documents/index.js';
import type { Document, Kind } from '../../src/documents/index.js';

/** A document's YAML; the spec starts on line 5. */
export function yaml(kind: string, name: string, spec: string, labels = '{}'): string {
  const indented = spec
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n');
  return `apiVersion: headgate/v1\nkind: ${kind}\nmetadata: {name: ${name}, labels: ${labels}}\nspec:\n${indented}\n`;
}

/** Reads what must be right. */
export function documents(...texts: string[]): Document[] {
  const read = readDocuments(texts.map((text, i) => ({ file: `f${i + 1}.yaml`, text })));
  expect(read.errors.map(formatError)).toEqual([]);
  return read.documents;
}

/** The errors of what must be wrong, as text. */
export function errorsOf(text: string, file = 'f.yaml'): string[] {
  return readDocuments([{ file, text }]).errors.map(formatError);
}

/** A document made from plain data, checked like any other. */
export function make(kind: Kind, name: string, spec: unknown, labels: Record<string, string> = {}): Document {
  const text = JSON.stringify({ apiVersion: 'headgate/v1', kind, metadata: { name, labels }, spec });
  const [document] = documents(text);
  return { ...(document as Document), origin: { ...(document as Document).origin, file: `${name}.yaml` } };
}

/** A workload on segment `lan` with a TAP. */
export function workload(
  name: string,
  addresses: string[],
  labels: Record<string, string> = {},
  more: object = {},
): Document {
  const attach = { tap: { netns: `hg-${name}`, name: 'eth0', addresses } };
  return make('Workload', name, { segment: 'lan', attach, ...more }, labels);
}
