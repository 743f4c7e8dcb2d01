// Shows something that changes, again and again: in full screen on a terminal, elsewhere one frame below the other.
//
// Full screen uses the terminal's second screen, so that what stood there is there again afterwards, however it ends:
// by q, a signal, an error or the last frame.
import { setTimeout as sleep } from 'node:timers/promises';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { HeadgateError } from '../shared/errors.js';
import { bannerLine, showBanner } from './banner.js';
import { numberBetween } from './options.js';
import { paint, type Format } from './output.js';

export interface Size {
  /** Undefined: as wide, as long as it comes. */
  columns: number | undefined;
  rows: number | undefined;
}

export interface View<T> {
  take: () => Promise<T>;
  /** `fault`: why the data is old. */
  lines: (data: T, size: Size, fault: string | undefined) => string[];
  /** A key was pressed; true: draw anew. */
  key?: (key: string) => boolean;
}

export interface WatchOptions {
  /** Seconds. */
  interval: number;
  /** How many frames; absent: until it is ended. */
  count?: number;
  plain?: boolean;
  output: Format;
}

export interface Terminal {
  output: Pick<NodeJS.WriteStream, 'write' | 'on' | 'off'> & {
    isTTY?: boolean;
    columns?: number;
    rows?: number;
  };
  input: Pick<NodeJS.ReadStream, 'on' | 'off' | 'pause' | 'resume'> & {
    isTTY?: boolean;
    setRawMode?: (raw: boolean) => unknown;
  };
}

export function watchOptions(command: Command): Command {
  return command
    .addOption(new Option('--interval <seconds>', 'time between two frames').argParser(seconds).default(2))
    .option(
      '-n, --count <frames>',
      'print so many frames, one below the other, and end',
      numberBetween(1, 1_000_000),
    )
    .option('--plain', 'no full screen, also on a terminal');
}

function seconds(text: string): number {
  const value = /^\d{1,5}(\.\d{1,3})?$/.test(text) ? Number(text) : NaN;
  if (value >= 0.1) return value;
  throw new InvalidArgumentError('A time in seconds from 0.1 on is wanted.');
}

/** Until the user or a signal ends it, or the last frame. Throws what the first `take` throws. */
export async function watch<T>(
  view: View<T>,
  options: WatchOptions,
  terminal: Terminal = { output: process.stdout, input: process.stdin },
): Promise<void> {
  const data = options.output === 'json' || options.output === 'yaml';
  const full =
    terminal.output.isTTY === true && options.plain !== true && options.count === undefined && !data;
  const first = await view.take();
  if (full) await new Screen(view, first, terminal).run(options.interval);
  else await printFrames(view, first, options, terminal);
}

async function printFrames<T>(
  view: View<T>,
  first: T,
  options: WatchOptions,
  { output }: Terminal,
): Promise<void> {
  const { count = Infinity, interval } = options;
  let data = first;
  for (let frame = 1; ; frame++) {
    if (options.output === 'json') output.write(`${JSON.stringify(data)}\n`);
    else if (options.output === 'yaml') output.write(`---\n${(await import('./output.js')).yamlOf(data)}`);
    else
      output.write(
        `${view.lines(data, { columns: output.columns, rows: undefined }, undefined).join('\n')}\n`,
      );
    if (frame === 1 && (options.output === 'table' || options.output === 'wide')) showBanner();
    if (frame >= count) return;
    if (options.output === 'table' || options.output === 'wide') output.write('\n');
    await sleep(interval * 1000);
    data = await view.take();
  }
}

const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const REST_OF_LINE = '\u001b[K';
const REST_OF_SCREEN = '\u001b[J';
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const CONTROL_C = '\u0003';

class Screen<T> {
  readonly #view: View<T>;
  readonly #terminal: Terminal;
  #data: T;
  #fault: string | undefined;
  readonly #ending = new AbortController();

  constructor(view: View<T>, data: T, terminal: Terminal) {
    this.#view = view;
    this.#data = data;
    this.#terminal = terminal;
  }

  async run(interval: number): Promise<void> {
    const { output, input } = this.#terminal;
    const stop = () => this.#ending.abort();
    const draw = () => this.#draw();
    const keys = (bytes: Buffer) => this.#press(bytes.toString('utf8'));
    for (const signal of SIGNALS) process.on(signal, stop);
    output.on('resize', draw);
    if (input.isTTY === true) {
      input.setRawMode?.(true);
      input.on('data', keys);
      input.resume();
    }
    output.write(ENTER);
    try {
      await this.#loop(interval);
    } finally {
      output.write(LEAVE);
      output.off('resize', draw);
      for (const signal of SIGNALS) process.off(signal, stop);
      if (input.isTTY === true) {
        input.off('data', keys);
        input.setRawMode?.(false);
        input.pause();
      }
    }
  }

  async #loop(interval: number): Promise<void> {
    const { signal } = this.#ending;
    const ended = new Promise((resolve) => signal.addEventListener('abort', resolve));
    while (!signal.aborted) {
      this.#draw();
      await sleep(interval * 1000, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      await Promise.race([this.#take(), ended]);
    }
  }

  async #take(): Promise<void> {
    try {
      this.#data = await this.#view.take();
      this.#fault = undefined;
    } catch (error) {
      // Control may be restarted meanwhile: what was seen last stays.
      if (!(error instanceof HeadgateError)) throw error;
      this.#fault = error.message;
    }
  }

  #press(key: string): void {
    if (key === 'q' || key === CONTROL_C) this.#ending.abort();
    else if (this.#view.key?.(key) === true) this.#draw();
  }

  #draw(): void {
    if (this.#ending.signal.aborted) return;
    const { columns = 80, rows = 24 } = this.#terminal.output;
    const banner = bannerLine();
    const above = banner === undefined ? [] : [paint('yellow', banner)];
    const size = { columns, rows: rows - above.length };
    const lines = [...above, ...this.#view.lines(this.#data, size, this.#fault)].slice(0, rows);
    // Each line is cleared behind its end, not before: nothing flickers.
    const text = lines.map((line) => `${cut(line, columns)}${REST_OF_LINE}`).join('\r\n');
    this.#terminal.output.write(`${HOME}${text}${REST_OF_SCREEN}`);
  }
}

/** The first columns of a line; colours take none. */
export function cut(line: string, columns: number): string {
  // eslint-disable-next-line no-control-regex
  const parts = line.split(/(\u001b\[[0-9;]*m)/);
  let left = columns;
  return parts
    .map((part, i) => {
      if (i % 2 === 1) return part;
      const shown = part.slice(0, left);
      left -= shown.length;
      return shown;
    })
    .join('');
}
