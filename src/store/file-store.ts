// The embedded store: one file for each revision, in a folder of its own.
//
//     DIR/lock                                            held by flock(2) while the store is open
//     DIR/revisions/0000000012.json                       a whole revision
//     DIR/revisions/0000000013.since-0000000012.json      one that says what it has in common with that
//
// A file is a header line (format, number, SHA-256 of the rest) and then the revision. One that is told by another's
// tells only the documents that differ from that one's: so a change writes what changed. It always refers to a whole
// one, never to a third: reading a revision takes two files at most. When the difference has grown to an eighth of the
// whole, the next revision is written whole.
//
// A revision is written under a temporary name, synced, renamed to its own, and the folder is synced: after a
// crash at any moment its name either does not exist or names the whole file. What a disk damages later is found
// by the checksum: it is reported and the newest revision that can be read counts. The kernel drops the lock with its
// holder.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, openSync, closeSync } from 'node:fs';
import { open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { errorMessage, HeadgateError } from '../shared/errors.js';
import {
  REVISIONS_KEPT,
  summarize,
  type Loaded,
  type Revision,
  type RevisionSummary,
  type Store,
} from './store.js';

const FORMAT = 'headgate-revision/1';

const headerSchema = z.object({ format: z.literal(FORMAT), number: z.int(), sha256: z.string() });

const about = { number: z.int().min(1), time: z.string(), cause: z.string() };
const wholeSchema = z.strictObject({ ...about, documents: z.array(z.unknown()) });
/** In their order: places in the documents of the revision that it refers to, from and to before, or documents. */
const piecesSchema = z.array(
  z.union([
    z.strictObject({ from: z.int().min(0), to: z.int().min(0) }),
    z.strictObject({ documents: z.array(z.unknown()) }),
  ]),
);
const differenceSchema = z.strictObject({ ...about, pieces: piecesSchema });

type Pieces = z.infer<typeof piecesSchema>;

/** A whole revision, as this process wrote it: what comes next may refer to it. */
interface Base {
  number: number;
  bytes: number;
  /** Where each document stands; documents are told apart by identity. */
  places: Map<unknown, number>;
}

type Wholes = Map<number, Promise<Revision>>;

/** A difference of more than this share of the whole is not worth it. */
const MOST_DIFFERENCE = 1 / 8;

export class FileStore implements Store {
  readonly #directory: string;
  readonly #lock: number;
  /** The highest number ever seen, damaged files included: a number is never given twice. */
  #last: number;
  #base: Base | undefined;

  private constructor(directory: string, lock: number, last: number) {
    this.#directory = directory;
    this.#lock = lock;
    this.#last = last;
  }

  /** Opens the store in the folder, making it when it is not there. Throws `store-locked` or `store-unusable`. */
  static async open(stateDir: string): Promise<FileStore> {
    const directory = join(stateDir, 'revisions');
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw unusable(stateDir, cause);
    }
    const lock = takeLock(stateDir);
    try {
      const names = await readdir(directory);
      for (const name of names.filter((entry) => entry.endsWith('.tmp'))) await unlink(join(directory, name));
      return new FileStore(directory, lock, Math.max(0, ...names.map((name) => numberOf(name) ?? 0)));
    } catch (cause) {
      closeSync(lock);
      throw unusable(stateDir, cause);
    }
  }

  async load(): Promise<Loaded> {
    const problems: string[] = [];
    for (const [number] of (await this.#kept()).reverse()) {
      try {
        return { revision: await this.read(number), problems };
      } catch (error) {
        problems.push(errorMessage(error));
      }
    }
    return { problems };
  }

  async commit(cause: string, documents: readonly unknown[], time = new Date()): Promise<Revision> {
    const number = this.#last + 1;
    const revision: Revision = { number, time: time.toISOString(), cause, documents: [...documents] };
    try {
      await this.#write(revision);
    } catch (error) {
      throw new HeadgateError(
        'store-write',
        `Revision ${number} cannot be written to ${this.#directory}: ${errorMessage(error)}`,
        {
          cause: error,
          remedy: 'Make room on that file system, or make it writable for the user of control.',
        },
      );
    }
    this.#last = number;
    await this.#forgetOld();
    return revision;
  }

  async list(): Promise<RevisionSummary[]> {
    const found: RevisionSummary[] = [];
    const wholes: Wholes = new Map();
    for (const [number, name] of (await this.#kept()).reverse()) {
      try {
        found.push(summarize(await this.#read(number, name, wholes)));
      } catch {
        // Reported by load.
      }
    }
    return found;
  }

  async read(number: number): Promise<Revision> {
    const name = new Map(await this.#kept()).get(number);
    if (name === undefined) {
      throw new HeadgateError('revision-unknown', `There is no revision ${number}.`, {
        remedy: 'headgate get revisions lists them.',
      });
    }
    return this.#read(number, name, new Map());
  }

  close(): Promise<void> {
    closeSync(this.#lock);
    return Promise.resolve();
  }

  /** `wholes` keeps the whole revisions that are read on the way. */
  async #read(number: number, name: string, wholes: Wholes): Promise<Revision> {
    const base = baseOf(name);
    if (base !== undefined) {
      const { documents } = await this.#read(base, fileName(base), wholes);
      return this.#readFile(name, (body) => joinedRevision(body, number, documents));
    }
    let reading = wholes.get(number);
    if (reading === undefined) {
      reading = this.#readFile(name, (body) => wholeRevision(body, number));
      wholes.set(number, reading);
    }
    return reading;
  }

  async #readFile<T>(name: string, read: (body: unknown) => T): Promise<T> {
    const path = join(this.#directory, name);
    try {
      return read(content(await readFile(path), numberOf(name)));
    } catch (cause) {
      throw new HeadgateError('revision-damaged', `${path} is damaged: ${errorMessage(cause)}`, {
        cause,
        remedy: 'Restore it from a backup, or delete it: the newest revision that can be read counts.',
      });
    }
  }

  /** Number and file name of the revisions that are kept, oldest first. */
  async #kept(): Promise<[number, string][]> {
    return (await this.#files()).slice(-REVISIONS_KEPT);
  }

  async #files(): Promise<[number, string][]> {
    return (await readdir(this.#directory))
      .flatMap((name): [number, string][] => {
        const number = numberOf(name);
        return number === undefined ? [] : [[number, name]];
      })
      .sort(([a], [b]) => a - b);
  }

  /** Writes what differs from the last whole revision, or all where that is much or there is none. */
  async #write({ documents, ...about }: Revision): Promise<void> {
    const { number } = about;
    const base = this.#base;
    if (base !== undefined) {
      const body = Buffer.from(JSON.stringify({ ...about, pieces: piecesOf(documents, base.places) }));
      if (body.length <= base.bytes * MOST_DIFFERENCE) {
        await this.#writeFile(fileName(number, base.number), number, body);
        return;
      }
    }
    const body = Buffer.from(JSON.stringify({ ...about, documents }));
    await this.#writeFile(fileName(number), number, body);
    const places = new Map(documents.map((document, i) => [document, i]));
    this.#base = { number, bytes: body.length, places };
  }

  async #writeFile(name: string, number: number, body: Buffer): Promise<void> {
    const header = JSON.stringify({ format: FORMAT, number, sha256: digest(body) });
    const path = join(this.#directory, name);
    const temporary = `${path}.tmp`;
    try {
      const file = await open(temporary, 'w', 0o600);
      try {
        await file.writeFile(Buffer.concat([Buffer.from(`${header}\n`), body]));
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
      await syncDirectory(this.#directory);
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      await unlink(path).catch(() => undefined);
      throw error;
    }
  }

  /** Removes all but the newest, and what those refer to. */
  async #forgetOld(): Promise<void> {
    const files = await this.#files();
    const kept = files.slice(-REVISIONS_KEPT);
    const referred = new Set(kept.map(([, name]) => baseOf(name)));
    for (const [number, name] of files.slice(0, -REVISIONS_KEPT))
      if (!referred.has(number)) await unlink(join(this.#directory, name)).catch(() => undefined);
  }
}

const FILE_NAME = /^(\d{10})(?:\.since-(\d{10}))?\.json$/;

function fileName(number: number, base?: number): string {
  const digits = (value: number) => String(value).padStart(10, '0');
  return `${digits(number)}${base === undefined ? '' : `.since-${digits(base)}`}.json`;
}

function numberOf(name: string): number | undefined {
  const digits = FILE_NAME.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** The whole revision that a file refers to. */
function baseOf(name: string): number | undefined {
  const digits = FILE_NAME.exec(name)?.[2];
  return digits === undefined ? undefined : Number(digits);
}

function piecesOf(documents: readonly unknown[], places: ReadonlyMap<unknown, number>): Pieces {
  const pieces: Pieces = [];
  for (const document of documents) {
    const place = places.get(document);
    const last = pieces.at(-1);
    if (place === undefined) {
      if (last !== undefined && 'documents' in last) last.documents.push(document);
      else pieces.push({ documents: [document] });
    } else if (last !== undefined && 'to' in last && last.to === place) last.to += 1;
    else pieces.push({ from: place, to: place + 1 });
  }
  return pieces;
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The body behind header and checksum; throws an Error that says which of them is wrong. */
function content(bytes: Buffer, number: number | undefined): unknown {
  const end = bytes.indexOf(0x0a);
  if (end < 0) throw new Error('it has no header line');
  const header = headerSchema.parse(JSON.parse(bytes.subarray(0, end).toString()));
  const body = bytes.subarray(end + 1);
  if (header.sha256 !== digest(body)) throw new Error('its checksum is wrong');
  if (header.number !== number) throw new Error('it holds another revision than its name says');
  return JSON.parse(body.toString()) as unknown;
}

function wholeRevision(body: unknown, number: number): Revision {
  const revision = wholeSchema.parse(body);
  if (revision.number !== number) throw new Error('it holds another revision than its name says');
  return revision;
}

function joinedRevision(body: unknown, number: number, base: readonly unknown[]): Revision {
  const { pieces, ...about } = differenceSchema.parse(body);
  if (about.number !== number) throw new Error('it holds another revision than its name says');
  const documents = pieces.flatMap((piece) => {
    if ('documents' in piece) return piece.documents;
    if (piece.to > base.length) throw new Error('it refers to documents that are not there');
    return base.slice(piece.from, piece.to);
  });
  return { ...about, documents };
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/**
 * Takes the lock through flock(1), which locks the open file description that it inherits from here: the lock
 * stays with this process when flock has ended. Node itself has no call for it.
 */
function takeLock(stateDir: string): number {
  const path = join(stateDir, 'lock');
  let descriptor: number;
  try {
    descriptor = openSync(path, 'a', 0o600);
  } catch (cause) {
    throw unusable(stateDir, cause);
  }
  const flock = spawnSync('flock', ['--exclusive', '--nonblock', '3'], {
    stdio: ['ignore', 'ignore', 'pipe', descriptor],
  });
  if (flock.status === 0) return descriptor;
  closeSync(descriptor);
  if (flock.error !== undefined || flock.status !== 1) {
    throw unusable(stateDir, flock.error ?? new Error(`flock: ${flock.stderr.toString().trim()}`));
  }
  throw new HeadgateError('store-locked', `Another control process uses the store in ${stateDir}.`, {
    remedy: 'Stop it first, or give this one a --state-dir of its own.',
  });
}

function unusable(stateDir: string, cause: unknown): HeadgateError {
  return new HeadgateError(
    'store-unusable',
    `The store in ${stateDir} cannot be used: ${errorMessage(cause)}`,
    {
      cause,
      remedy: 'The folder has to belong to the user that control runs as; --state-dir names another one.',
    },
  );
}
