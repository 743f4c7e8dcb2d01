// The embedded store: one file for each revision, in a folder of its own.
//
//     DIR/lock                     held by flock(2) while the store is open
//     DIR/revisions/0000000012.json   a header line (format, number, SHA-256 of the rest), then the revision
//
// A revision is written under a temporary name, synced, renamed to its own, and the folder is synced: after a
// crash at any moment its name either does not exist or names the whole file. What a disk damages later is found
// by the checksum: it is reported and the revision before it counts. The kernel drops the lock with its holder.
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

const revisionSchema = z.strictObject({
  number: z.int().min(1),
  time: z.string(),
  cause: z.string(),
  documents: z.array(z.unknown()),
});

export class FileStore implements Store {
  readonly #directory: string;
  readonly #lock: number;
  /** The highest number ever seen, damaged files included: a number is never given twice. */
  #last: number;

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
      return new FileStore(directory, lock, Math.max(0, ...names.map(numberOf)));
    } catch (cause) {
      closeSync(lock);
      throw unusable(stateDir, cause);
    }
  }

  async load(): Promise<Loaded> {
    const problems: string[] = [];
    for (const number of (await this.#numbers()).reverse()) {
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
    for (const number of (await this.#numbers()).reverse()) {
      try {
        found.push(summarize(await this.read(number)));
      } catch {
        // Reported by load.
      }
    }
    return found;
  }

  async read(number: number): Promise<Revision> {
    const path = this.#path(number);
    let bytes: Buffer;
    try {
      bytes = await readFile(path);
    } catch (cause) {
      throw new HeadgateError('revision-unknown', `There is no revision ${number}.`, {
        cause,
        remedy: 'headgate get revisions lists them.',
      });
    }
    try {
      return parse(bytes, number);
    } catch (cause) {
      throw new HeadgateError('revision-damaged', `${path} is damaged: ${errorMessage(cause)}`, {
        cause,
        remedy: 'Restore it from a backup, or delete it: the revision before it counts.',
      });
    }
  }

  close(): Promise<void> {
    closeSync(this.#lock);
    return Promise.resolve();
  }

  #path(number: number): string {
    return join(this.#directory, `${String(number).padStart(10, '0')}.json`);
  }

  async #numbers(): Promise<number[]> {
    const names = await readdir(this.#directory);
    return names
      .filter((name) => /^\d{10}\.json$/.test(name))
      .map(numberOf)
      .sort((a, b) => a - b);
  }

  async #write(revision: Revision): Promise<void> {
    const body = Buffer.from(JSON.stringify(revision));
    const header = JSON.stringify({ format: FORMAT, number: revision.number, sha256: digest(body) });
    const path = this.#path(revision.number);
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

  async #forgetOld(): Promise<void> {
    for (const number of (await this.#numbers()).slice(0, -REVISIONS_KEPT)) {
      await unlink(this.#path(number)).catch(() => undefined);
    }
  }
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function numberOf(name: string): number {
  return Number(/^(\d{10})\.json/.exec(name)?.[1] ?? 0);
}

/** Checks header, checksum and shape; throws an Error that says which of them is wrong. */
function parse(bytes: Buffer, number: number): Revision {
  const end = bytes.indexOf(0x0a);
  if (end < 0) throw new Error('it has no header line');
  const header = headerSchema.parse(JSON.parse(bytes.subarray(0, end).toString()));
  const body = bytes.subarray(end + 1);
  if (header.sha256 !== digest(body)) throw new Error('its checksum is wrong');
  const revision = revisionSchema.parse(JSON.parse(body.toString()));
  if (revision.number !== number || header.number !== number)
    throw new Error('it holds another revision than its name says');
  return revision;
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
