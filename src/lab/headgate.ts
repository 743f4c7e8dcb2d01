// Starts `headgate run` (both processes) with folders of its own, waits until control answers, and stops it.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HeadgateError } from '../shared/errors.js';
import { controlSocket } from '../shared/paths.js';
import { onEnd } from './cleanup.js';
import { inside, waitUntil } from './namespaces.js';

export const PROGRAM = resolve(
  process.env['HEADGATE_ROOT'] ?? fileURLToPath(new URL('../..', import.meta.url)),
  'bin/headgate',
);

export interface Folders {
  runDir: string;
  stateDir: string;
  log: string;
}

export const foldersIn = (directory: string): Folders => ({
  runDir: join(directory, 'run'),
  stateDir: join(directory, 'state'),
  log: join(directory, 'headgate.log'),
});

export interface StartOptions extends Folders {
  /** The host file; the documents in `conf.d` beside it are applied. */
  config: string;
  /** The namespace that it runs in; absent: this process's. */
  netns?: string;
  /** Absent: that of this project. */
  program?: string;
}

export interface Headgate extends Folders {
  pid: number;
  /** SIGTERM, then waits for the end of both processes; SIGKILL after ten seconds. */
  stop(): Promise<void>;
}

/** Starts it and waits until control answers. Throws with the end of its log when it does not start. */
export async function startHeadgate(options: StartOptions): Promise<Headgate> {
  const { runDir, stateDir, log, config, netns, program = PROGRAM } = options;
  for (const folder of [runDir, stateDir]) mkdirSync(folder, { recursive: true, mode: 0o755 });
  const output = openSync(log, 'a');
  const args = ['run', '--config', config, '--run-dir', runDir, '--state-dir', stateDir];
  // A process group of its own: a Ctrl-C meant for the lab must not take Headgate away before the lab has cleaned up.
  const [command, line] = inside(netns, [program, ...args]);
  const child = spawn(command, line, { stdio: ['ignore', output, output], detached: true });
  const { pid } = child;
  if (pid === undefined) throw new HeadgateError('lab-start', `${program} cannot be started`);
  const forget = onEnd(() => killGroup(pid));
  const stop = async () => {
    await stopProcess(pid);
    forget();
  };
  const state = await waitUntil('headgate run answers', () => {
    if (child.exitCode !== null || child.signalCode !== null) return 'ended';
    return existsSync(controlSocket(runDir)) && 'ready';
  }).catch(() => 'late');
  if (state !== 'ready') {
    await stop();
    throw new HeadgateError('lab-start', `Headgate did not start. The end of its log ${log}:\n${tail(log)}`);
  }
  child.unref();
  return { pid, runDir, stateDir, log, stop };
}

/** The last lines of a file. */
export function tail(file: string, lines = 20): string {
  return existsSync(file)
    ? readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
    : '(nothing)';
}

/** Ends a process group that `startHeadgate` started: SIGTERM to its first process, SIGKILL when that takes too long. */
export async function stopProcess(pid: number): Promise<void> {
  if (isAlive(pid)) process.kill(pid, 'SIGTERM');
  await waitUntil(`process ${pid} ends`, () => !isAlive(pid), 10_000).catch(() => undefined);
  killGroup(pid);
}

/** Whether a process lives; one that has ended but was not collected yet does not. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s*[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch {
    // nobody is left in it
  }
}
