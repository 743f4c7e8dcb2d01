import { mkdtempSync, rmSync, writeFileSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadPaths } from '../../src/documents/index.js';
import { yaml } from './document-helpers.js';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'headgate-load-'));
  writeFileSync(join(folder, 'b.yaml'), yaml('Segment', 'b', '{}'));
  writeFileSync(join(folder, 'a.yml'), yaml('Segment', 'a', '{}'));
  writeFileSync(join(folder, 'notes.txt'), 'not: [read');
  writeFileSync(join(folder, '.hidden.yaml'), 'not: [read');
  mkdirSync(join(folder, 'empty'));
  writeFileSync(join(folder, 'latin1.bin'), Buffer.from([0x61, 0xe9, 0x0a]));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('loadPaths', () => {
  test('a folder: its YAML files by name', async () => {
    const { documents, errors } = await loadPaths([folder]);
    expect(errors).toEqual([]);
    expect(documents.map(({ metadata, origin }) => [metadata.name, origin.file])).toEqual([
      ['a', join(folder, 'a.yml')],
      ['b', join(folder, 'b.yaml')],
    ]);
  });
  test.each([
    ['missing.yaml', 'there is no such file or folder: check the path'],
    ['empty', 'cannot be read: the folder holds no *.yaml, *.yml or *.json file'],
    ['latin1.bin', 'is not UTF-8 text: save it as UTF-8'],
  ])('%s: %s', async (name, message) => {
    const path = join(folder, name);
    const { documents, errors } = await loadPaths([join(folder, 'b.yaml'), path]);
    expect(errors).toEqual([{ file: path, line: 1, column: 1, path: '', message }]);
    expect(documents).toHaveLength(1);
  });
});
