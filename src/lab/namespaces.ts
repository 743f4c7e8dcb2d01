// Network namespaces: made, used and taken away. Names are those of `ip netns` (/run/netns/NAME).
import { execFile, execFileSync, spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { HeadgateError } from '../shared/errors.js';
import { onEnd } from './cleanup.js';

const execFileAsync = promisify(execFile);

export function namespaceExists(name: string): boolean {
  return existsSync(`/run/netns/${name}`);
}

/** Makes a namespace with its loopback up. It goes away with `deleteNamespace` or when this process ends. */
export function createNamespace(name: string): void {
  ip('netns', 'add', name);
  undoers.set(
    name,
    onEnd(() => removeNamespace(name)),
  );
  ip('-n', name, 'link', 'set', 'lo', 'up');
}

export function deleteNamespace(name: string): void {
  const undo = undoers.get(name);
  undoers.delete(name);
  if (undo === undefined) removeNamespace(name);
  else undo();
}

const undoers = new Map<string, () => void>();

function removeNamespace(name: string): void {
  if (namespaceExists(name)) ip('netns', 'del', name);
}

/** Runs `ip` with the arguments; what it prints. Throws with what it said when it fails. */
export function ip(...args: string[]): string {
  try {
    return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error);
    const remedy = process.getuid?.() === 0 ? {} : { remedy: 'Run it as root.' };
    throw new HeadgateError('lab-ip', `ip ${args.join(' ')}: ${said}`, { ...remedy, cause: error });
  }
}

/** The command line that runs `argv` inside a namespace. `netns` undefined: where this process is. */
export function inside(netns: string | undefined, argv: string[]): [string, string[]] {
  const line = netns === undefined ? argv : ['nsenter', `--net=/run/netns/${netns}`, '--', ...argv];
  const [command, ...args] = line;
  if (command === undefined) throw new Error('no command');
  return [command, args];
}

/** Runs a command inside a namespace to its end; what it printed. Throws when it fails. */
export async function execIn(
  netns: string | undefined,
  argv: string[],
  options: { timeoutMs?: number } = {},
): Promise<string> {
  const [command, args] = inside(netns, argv);
  const { stdout } = await execFileAsync(command, args, {
    encoding: 'utf8',
    timeout: options.timeoutMs ?? 60_000,
    killSignal: 'SIGKILL',
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout;
}

/** Starts a command inside a namespace. It is killed when this process ends. */
export function spawnIn(
  netns: string | undefined,
  argv: string[],
  stdio: StdioOptions = 'pipe',
): ChildProcess {
  const [command, args] = inside(netns, argv);
  const child = spawn(command, args, { stdio });
  const kill = onEnd(() => child.kill('SIGKILL'));
  child.once('exit', kill);
  return child;
}

/** Asks until the answer is neither undefined nor false, and returns it. Errors count as "not yet" until time is up. */
export async function waitUntil<T>(
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 20_000,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) {
      throw new HeadgateError('lab-timeout', `${what}: not within ${timeoutMs / 1000} s`, { cause: last });
    }
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}
