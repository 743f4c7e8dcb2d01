// What every store promises, run on each of them; below it, what only files can go through.
import { spawn } from 'node:child_process';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { FileStore } from '../../src/store/file-store.js';
import { MemoryStore } from '../../src/store/memory-store.js';
import { REVISIONS_KEPT, type Store } from '../../src/store/store.js';

const directories: string[] = [];

function directory(): string {
  const made = mkdtempSync(join(tmpdir(), 'hg-store-'));
  directories.push(made);
  return made;
}

afterEach(() => {
  for (const made of directories.splice(0)) rmSync(made, { recursive: true, force: true });
});

const document = (name: string): unknown => ({ kind: 'Group', metadata: { name }, spec: {} });

const stores: [string, () => Promise<Store>][] = [
  ['memory', () => Promise.resolve(new MemoryStore())],
  ['file', () => FileStore.open(directory())],
];

describe.each(stores)('%s store', (_name, open) => {
  it('is empty when it is new', async () => {
    const store = await open();
    expect(await store.load()).toEqual({ problems: [] });
    expect(await store.list()).toEqual([]);
    await store.close();
  });

  it('loads what was committed last', async () => {
    const store = await open();
    await store.commit('apply', [document('a')]);
    const second = await store.commit('apply', [document('a'), document('b')]);
    expect(second.number).toBe(2);
    const { revision, problems } = await store.load();
    expect(problems).toEqual([]);
    expect(revision).toEqual(second);
    expect(revision?.documents).toEqual([document('a'), document('b')]);
    await store.close();
  });

  it('lists newest first and reads each', async () => {
    const store = await open();
    await store.commit('apply', [document('a')], new Date('2026-01-02T03:04:05Z'));
    await store.commit('delete Group/a', []);
    expect(await store.list()).toMatchObject([
      { number: 2, cause: 'delete Group/a', documents: 0 },
      { number: 1, cause: 'apply', documents: 1, time: '2026-01-02T03:04:05.000Z' },
    ]);
    expect((await store.read(1)).documents).toEqual([document('a')]);
    await expect(store.read(3)).rejects.toMatchObject({ code: 'revision-unknown' });
    await store.close();
  });

  it('keeps the newest revisions only', async () => {
    const store = await open();
    for (let i = 0; i < REVISIONS_KEPT + 3; i++) await store.commit(`apply ${i}`, []);
    const listed = await store.list();
    expect(listed).toHaveLength(REVISIONS_KEPT);
    expect(listed[0]?.number).toBe(REVISIONS_KEPT + 3);
    await store.close();
  });

  it('is not changed through what it was given or gave', async () => {
    const store = await open();
    const documents = [{ name: 'a' }];
    await store.commit('apply', documents);
    (documents[0] as { name: string }).name = 'changed';
    const loaded = await store.load();
    expect(loaded.revision?.documents).toEqual([{ name: 'a' }]);
    loaded.revision?.documents.pop();
    expect((await store.load()).revision?.documents).toHaveLength(1);
    await store.close();
  });
});

describe('file store on disk', () => {
  it('goes on after it was closed', async () => {
    const path = directory();
    const first = await FileStore.open(path);
    await first.commit('apply', [document('a')]);
    await first.close();
    const second = await FileStore.open(path);
    expect((await second.load()).revision?.number).toBe(1);
    expect((await second.commit('apply', [])).number).toBe(2);
    await second.close();
  });

  it('refuses a second writer, and lets it in when the first has gone', async () => {
    const path = directory();
    const first = await FileStore.open(path);
    await expect(FileStore.open(path)).rejects.toMatchObject({ code: 'store-locked' });
    await first.close();
    await (await FileStore.open(path)).close();
  });

  const damages: [string, (path: string) => void][] = [
    ['cut in half', (path) => truncateSync(path, Math.floor(readFileSync(path).length / 2))],
    ['empty', (path) => truncateSync(path, 0)],
    [
      'changed in one bit',
      (path) => {
        const bytes = readFileSync(path);
        const last = bytes.length - 3;
        bytes.writeUInt8(bytes.readUInt8(last) ^ 1, last);
        writeFileSync(path, bytes);
      },
    ],
    ['full of noise', (path) => writeFileSync(path, Buffer.alloc(500, 0xa5))],
  ];

  it.each(damages)('reports a newest file that is %s and uses the one before', async (_name, damage) => {
    const path = directory();
    const first = await FileStore.open(path);
    await first.commit('apply', [document('a')]);
    await first.commit('apply', [document('b')]);
    await first.close();
    const newest = readdirSync(join(path, 'revisions')).sort().at(-1) as string;
    damage(join(path, 'revisions', newest));
    const second = await FileStore.open(path);
    const { revision, problems } = await second.load();
    expect(revision?.number).toBe(1);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(newest);
    await expect(second.read(2)).rejects.toMatchObject({ code: 'revision-damaged' });
    expect((await second.commit('apply', [])).number, 'a number is not given twice').toBe(3);
    await second.close();
  });

  describe('a change of few documents of many', () => {
    const many = Array.from({ length: 100 }, (_, i) => document(`d${i}`));
    const edited = (i: number) => many.map((one, j) => (j === i ? document(`new${i}`) : one));
    const files = (path: string) => readdirSync(join(path, 'revisions')).sort();

    it('writes these alone, and is read by itself', async () => {
      const path = directory();
      const store = await FileStore.open(path);
      const sets = [many, edited(3), [...many].reverse(), many.slice(50), [document('x'), ...edited(99)], []];
      for (const documents of sets) await store.commit('apply', documents);
      await store.close();
      const reopened = await FileStore.open(path);
      for (const [i, documents] of sets.entries())
        expect((await reopened.read(i + 1)).documents, `revision ${i + 1}`).toEqual(documents);
      expect((await reopened.list()).map((one) => one.documents)).toEqual([0, 101, 50, 100, 100, 100]);
      const sizes = files(path).map((name) => statSync(join(path, 'revisions', name)).size);
      expect(sizes[1]).toBeLessThan((sizes[0] as number) / 10);
      await reopened.close();
    });

    it('writes all again when much has changed since, and after it was opened', async () => {
      const path = directory();
      const store = await FileStore.open(path);
      let documents = many;
      for (let i = 0; i < 40; i++) {
        documents = documents.map((one, j) => (j === i ? document(`new${i}`) : one));
        await store.commit('apply', documents);
      }
      await store.close();
      const whole = files(path).filter((name) => !name.includes('since'));
      expect(whole.length).toBeGreaterThan(2);
      expect(whole.length).toBeLessThan(8);
      const reopened = await FileStore.open(path);
      expect((await reopened.load()).revision?.documents).toEqual(documents);
      await reopened.commit('apply', documents);
      expect(files(path).at(-1)).toBe('0000000041.json');
      await reopened.close();
    });

    it('keeps what it refers to for as long as it is kept itself', async () => {
      const path = directory();
      const store = await FileStore.open(path);
      for (let i = 0; i < REVISIONS_KEPT + 30; i++) await store.commit('apply', edited(i % 100));
      const listed = await store.list();
      expect(listed).toHaveLength(REVISIONS_KEPT);
      expect(files(path)).toHaveLength(REVISIONS_KEPT + 1);
      expect((await store.read(31)).documents).toEqual(edited(30));
      await expect(store.read(1)).rejects.toMatchObject({ code: 'revision-unknown' });
      await store.close();
    });

    it('is lost with what it refers to, and is reported', async () => {
      const path = directory();
      const store = await FileStore.open(path);
      await store.commit('apply', [document('first')]);
      await store.commit('apply', many);
      await store.commit('apply', edited(1));
      await store.close();
      expect(files(path)[2]).toBe('0000000003.since-0000000002.json');
      truncateSync(join(path, 'revisions', '0000000002.json'), 100);
      const reopened = await FileStore.open(path);
      const { revision, problems } = await reopened.load();
      expect(revision?.number).toBe(1);
      expect(problems).toHaveLength(2);
      expect((await reopened.list()).map(({ number }) => number)).toEqual([1]);
      await reopened.close();
    });

    it.each(damages)('itself %s is reported, and the one before counts', async (_name, damage) => {
      const path = directory();
      const store = await FileStore.open(path);
      await store.commit('apply', many);
      await store.commit('apply', edited(1));
      await store.close();
      damage(join(path, 'revisions', files(path)[1] as string));
      const reopened = await FileStore.open(path);
      const { revision, problems } = await reopened.load();
      expect([revision?.number, problems.length]).toEqual([1, 1]);
      await reopened.close();
    });
  });

  it('cleans up what a crash left half written', async () => {
    const path = directory();
    await (await FileStore.open(path)).close();
    writeFileSync(join(path, 'revisions', '0000000001.json.tmp'), 'half');
    const store = await FileStore.open(path);
    expect(readdirSync(join(path, 'revisions'))).toEqual([]);
    await store.close();
  });

  it('says what is wrong with an unusable folder', async () => {
    const path = join(directory(), 'file');
    writeFileSync(path, '');
    await expect(FileStore.open(path)).rejects.toMatchObject({ code: 'store-unusable' });
  });
});

describe('file store under SIGKILL', () => {
  const rounds = Number(process.env['HEADGATE_KILL_ROUNDS'] ?? 12);

  it(
    `loads the last acknowledged revision or a newer one, ${rounds} times (HEADGATE_KILL_ROUNDS)`,
    { timeout: 10_000 + rounds * 5_000 },
    async () => {
      const path = directory();
      let acknowledged = 0;
      for (let round = 0; round < rounds; round++) {
        acknowledged = Math.max(acknowledged, await commitUntilKilled(path, Math.random() * 60));
        const store = await FileStore.open(path);
        const { revision, problems } = await store.load();
        expect(problems).toEqual([]);
        expect(revision?.number ?? 0).toBeGreaterThanOrEqual(acknowledged);
        if (revision !== undefined) expect(revision.documents).toHaveLength(200);
        await store.close();
      }
      expect(acknowledged, 'the child got to commit something').toBeGreaterThan(rounds);
    },
  );
});

/** Lets a child commit as fast as it can, kills it some time after its first commit; the last number it reported. */
function commitUntilKilled(path: string, milliseconds: number): Promise<number> {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../support/committer.mjs'), path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  return new Promise((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      if (output === '') setTimeout(() => child.kill('SIGKILL'), milliseconds);
      output += chunk.toString();
    });
    child.on('close', () => resolve(Number(output.split('\n').at(-2) ?? 0)));
  });
}
