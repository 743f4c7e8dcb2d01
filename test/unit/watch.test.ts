// What is shown again and again: frames one below the other, and the screen of a terminal, which is left as it was.
// The last tests run the compiled program (npm run build:ts) on a pseudo-terminal.
import { spawnSync, spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cut, watch, type Size, type Terminal, type View } from '../../src/cli/watch.js';
import { HeadgateError } from '../../src/shared/errors.js';
import { BASE, source, Stack } from '../support/stack.js';
import { until } from '../support/until.js';

class FakeTerminal {
  written = '';
  raw: boolean[] = [];
  readonly output = Object.assign(new EventEmitter(), {
    isTTY: true,
    columns: 80,
    rows: 24,
    write: (text: string) => ((this.written += text), true),
  });
  readonly input = Object.assign(new EventEmitter(), {
    isTTY: true,
    setRawMode: (raw: boolean) => this.raw.push(raw),
    resume: () => undefined,
    pause: () => undefined,
  });

  get terminal(): Terminal {
    return this as unknown as Terminal;
  }
}

const ENTER = '\u001b[?1049h';
const LEAVE = '\u001b[?25h\u001b[?1049l';

/** Counts frames; tells sizes. */
function counter(fail: (taken: number) => Error | undefined = () => undefined) {
  const sizes: Size[] = [];
  const keys: string[] = [];
  let taken = 0;
  const view: View<number> = {
    take: () => {
      taken += 1;
      const error = fail(taken);
      return error === undefined ? Promise.resolve(taken) : Promise.reject(error);
    },
    lines: (data, size, fault) => {
      sizes.push(size);
      return [`frame ${data}${fault === undefined ? '' : ` ${fault}`}`];
    },
    key: (key) => (keys.push(key), true),
  };
  return { view, sizes, keys };
}

const options = { interval: 0.01, output: 'table' as const };

describe('frames one below the other', () => {
  it('as many as wanted, also on a terminal', async () => {
    const fake = new FakeTerminal();
    await watch(counter().view, { ...options, count: 3 }, fake.terminal);
    expect(fake.written).toBe('frame 1\n\nframe 2\n\nframe 3\n');
  });

  it('as one line of JSON each', async () => {
    const fake = new FakeTerminal();
    await watch(counter().view, { ...options, count: 2, output: 'json' }, fake.terminal);
    expect(fake.written).toBe('1\n2\n');
  });

  it('end with the error that ends them', async () => {
    const fake = new FakeTerminal();
    const { view } = counter((taken) => (taken === 2 ? new HeadgateError('x', 'gone') : undefined));
    await expect(watch(view, { ...options, count: 3 }, fake.terminal)).rejects.toThrow('gone');
  });
});

describe('the screen', () => {
  it('is entered, drawn anew, and left by q', async () => {
    const fake = new FakeTerminal();
    const { view, keys } = counter();
    const ended = watch(view, options, fake.terminal);
    await until('a second frame', () => fake.written.includes('frame 2'));
    fake.input.emit('data', Buffer.from('w'));
    fake.input.emit('data', Buffer.from('q'));
    await ended;
    expect(keys).toEqual(['w']);
    expect(fake.written.startsWith(ENTER)).toBe(true);
    expect(fake.written.endsWith(LEAVE)).toBe(true);
    expect(fake.raw).toEqual([true, false]);
    expect(fake.input.listenerCount('data') + fake.output.listenerCount('resize')).toBe(0);
  });

  it('is drawn anew when its size changes', async () => {
    const fake = new FakeTerminal();
    const { view, sizes } = counter();
    const ended = watch(view, { ...options, interval: 60 }, fake.terminal);
    await until('a frame', () => sizes.length === 1);
    fake.output.columns = 40;
    fake.output.emit('resize');
    expect(sizes.map(({ columns }) => columns)).toEqual([80, 40]);
    fake.input.emit('data', Buffer.from('\u0003'));
    await ended;
  });

  it('keeps what was seen last while control is away', async () => {
    const fake = new FakeTerminal();
    const { view } = counter((taken) => (taken === 2 ? new HeadgateError('x', 'away') : undefined));
    const ended = watch(view, options, fake.terminal);
    await until('it came back', () => fake.written.includes('frame 3'));
    expect(fake.written).toContain('frame 1 away');
    fake.input.emit('data', Buffer.from('q'));
    await ended;
  });

  it('is left when something breaks', async () => {
    const fake = new FakeTerminal();
    const { view } = counter((taken) => (taken === 2 ? new TypeError('a fault') : undefined));
    await expect(watch(view, options, fake.terminal)).rejects.toThrow('a fault');
    expect(fake.written.endsWith(LEAVE)).toBe(true);
    expect(fake.raw).toEqual([true, false]);
  });

  it('cuts lines at its edge, and counts no colours', () => {
    expect(cut('abcdef', 3)).toBe('abc');
    expect(cut('\u001b[1mabc\u001b[0mdef', 4)).toBe('\u001b[1mabc\u001b[0md');
  });
});

describe('the program on a terminal', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = new Stack();
    const control = await stack.start();
    await control.apply(source(BASE), false);
  });
  afterAll(() => stack.end());

  const PROGRAM = resolve(import.meta.dirname, '../../bin/headgate');
  const ON_TERMINAL = resolve(import.meta.dirname, '../support/on-terminal.py');

  interface Seen {
    wide: string;
    narrow: string;
    end: string;
    code: number;
    restored: boolean;
  }

  /** Runs a command on a terminal of 100 columns, makes it 50 wide, and ends it with SIGINT. */
  function onTerminal(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Seen> {
    return new Promise((done, failed) => {
      const child = spawn('python3', [ON_TERMINAL, PROGRAM, ...args, '--run-dir', stack.directory], {
        env: { ...process.env, TERM: 'xterm', NO_COLOR: '', ...env },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let text = '';
      child.stdout.on('data', (data: Buffer) => (text += data.toString()));
      child.on('close', (code) =>
        code === 0
          ? done(JSON.parse(text) as Seen)
          : failed(new Error(`on-terminal.py ended with ${code}: ${text}`)),
      );
    });
  }

  it.each([[['top']], [['flows', '--watch']]])(
    'headgate %j: resizes, and leaves all as it was',
    async (args) => {
      const seen = await onTerminal([...args, '--interval', '0.2']);
      expect(seen.wide).toContain(ENTER);
      // eslint-disable-next-line no-control-regex
      const lines = seen.narrow.replace(/\u001b\[[0-9;?]*[a-zA-Z]/g, '').split(/\r*\n/);
      expect(lines.length).toBeGreaterThan(2);
      for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(50);
      expect(seen.end.endsWith(LEAVE)).toBe(true);
      expect(seen).toMatchObject({ code: 0, restored: true });
    },
  );

  it('has colours, but not with NO_COLOR', async () => {
    expect((await onTerminal(['top', '--interval', '0.2'])).wide).toContain('\u001b[1m');
    const plain = await onTerminal(['top', '--interval', '0.2'], { NO_COLOR: '1' });
    // eslint-disable-next-line no-control-regex
    expect(plain.wide).not.toMatch(/\u001b\[[0-9;]*m/);
  });

  it('where there is no terminal: text', () => {
    const args = ['top', '-n', '1', '--interval', '0.1', '--run-dir', '/nonexistent'];
    expect(spawnSync(PROGRAM, args, { encoding: 'utf8' })).toMatchObject({ status: 1, stdout: '' });
  });
});
