// Appends records to a file as lines of JSON. Nothing waits for the disk: one write is under way at a time, what comes
// meanwhile is queued, and what does not fit in the queue or on the disk is lost and counted.
//
// Before each write the path is looked at: where another file lies there, or none, because it was rotated, it is opened
// anew. No signal is needed.
import { close, constants, fstat, ftruncate, open, stat, write } from 'node:fs';
import { promisify } from 'node:util';
import { errorCode, errorMessage } from '../shared/errors.js';
import type { Outcome } from './outcome.js';
import { toLine, type FlowLogRecord } from './record.js';

const files = {
  close: promisify(close),
  fstat: promisify(fstat),
  ftruncate: promisify(ftruncate),
  open: promisify(open),
  stat: promisify(stat),
  write: promisify(write),
};

export const STANDARD_OUTPUT = '-';
const STDOUT = 1;
const MOST_QUEUED_BYTES = 16 * 1024 * 1024;
/** A pipe without a reader is an error, and nothing to wait for. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

interface Piece {
  bytes: Buffer;
  records: number;
}

export class JsonLines {
  readonly #path: string;
  readonly #outcome: Outcome;
  #descriptor: number | undefined;
  #queue: Piece[] = [];
  #queuedBytes = 0;
  #writing: Promise<void> | undefined;

  constructor(path: string, outcome: Outcome) {
    this.#path = path;
    this.#outcome = outcome;
  }

  write(records: readonly FlowLogRecord[]): void {
    const lines = records.map(toLine);
    // A line alone is not cut by what others write to standard output.
    const pieces = this.#path === STANDARD_OUTPUT ? lines.map((line) => [line]) : [lines];
    for (const piece of pieces) if (piece.length > 0) this.#enqueue(piece);
    this.#writing ??= this.#drain().finally(() => (this.#writing = undefined));
  }

  /** Writes what is queued. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#closeFile();
  }

  #enqueue(lines: readonly string[]): void {
    const bytes = Buffer.from(lines.join(''));
    if (this.#queuedBytes + bytes.length > MOST_QUEUED_BYTES) {
      this.#outcome.lost(lines.length, `${this.#path} takes them too slowly`);
      return;
    }
    this.#queue.push({ bytes, records: lines.length });
    this.#queuedBytes += bytes.length;
  }

  async #drain(): Promise<void> {
    for (let piece = this.#queue.shift(); piece; piece = this.#queue.shift()) {
      this.#queuedBytes -= piece.bytes.length;
      const written = await this.#append(piece.bytes);
      this.#outcome.written(written.records);
      if (written.fault !== undefined) {
        this.#outcome.lost(piece.records - written.records, `${this.#path}: ${written.fault}`);
        await this.#closeFile();
      }
    }
  }

  /** Whole lines that were written, and what kept the rest from it. */
  async #append(bytes: Buffer): Promise<{ records: number; fault?: string }> {
    let done = 0;
    try {
      const descriptor = await this.#file();
      while (done < bytes.length) done += (await files.write(descriptor, bytes, done)).bytesWritten;
      return { records: linesIn(bytes) };
    } catch (error) {
      const whole = bytes.subarray(0, done).lastIndexOf('\n') + 1;
      await this.#cut(done - whole);
      return { records: linesIn(bytes.subarray(0, whole)), fault: errorMessage(error) };
    }
  }

  /** Takes part of a line off the end again; a disk that fails may refuse that too. */
  async #cut(bytes: number): Promise<void> {
    if (bytes === 0 || this.#descriptor === undefined) return;
    try {
      const file = await files.fstat(this.#descriptor);
      if (file.isFile()) await files.ftruncate(this.#descriptor, file.size - bytes);
    } catch {
      // The part stays.
    }
  }

  /** The file that lies at the path now. */
  async #file(): Promise<number> {
    if (this.#path === STANDARD_OUTPUT) return STDOUT;
    if (this.#descriptor !== undefined && !(await this.#isAtPath(this.#descriptor))) await this.#closeFile();
    this.#descriptor ??= await files.open(this.#path, FLAGS, 0o640);
    return this.#descriptor;
  }

  async #isAtPath(descriptor: number): Promise<boolean> {
    try {
      const [open, there] = await Promise.all([files.fstat(descriptor), files.stat(this.#path)]);
      return open.ino === there.ino && open.dev === there.dev;
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return false;
      throw error;
    }
  }

  async #closeFile(): Promise<void> {
    if (this.#descriptor === undefined) return;
    const descriptor = this.#descriptor;
    this.#descriptor = undefined;
    await files.close(descriptor).catch(() => undefined);
  }
}

function linesIn(bytes: Uint8Array): number {
  let lines = 0;
  for (const byte of bytes) if (byte === 0x0a) lines += 1;
  return lines;
}
