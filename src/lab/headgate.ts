// Starts `headgate run` (both processes) with folders of its own, waits until it is ready, and stops it.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HeadgateError } from '../shared/errors.js';
import { onEnd } from './cleanup.js';
import { waitUntil } from './namespaces.js';

export const PROGRAM = resolve(
  process.env['HEADGATE_ROOT'] ?? fileURLToPath(new URL('../..', import.meta.url)),
  'bin/headgate',
);

export interface StartOptions {
  /** Holds run, state and the log; made when missing. */
  directory: string;
  /** The host file; `conf.d` beside it holds the documents. */
  config: string;
  /** Leave it running when this process ends. */
  keep?: boolean;
  /** More environment, for tests. */
  env?: NodeJS.ProcessEnv;
}

export interface Headgate {
  pid: number;
  runDir: string;
  stateDir: string;
  log: string;
  /** SIGTERM, then waits for the end; SIGKILL after ten seconds. */
  stop(): Promise<void>;
}

export const foldersIn = (directory: string) => ({
  runDir: join(directory, 'run'),
  stateDir: join(directory, 'state'),
  log: join(directory, 'headgate.log'),
});

/** Starts Headgate and waits until control answers and every workload is attached or has failed for good. */
export async function startHeadgate(options: StartOptions): Promise<Headgate> {
  const { runDir, stateDir, log } = foldersIn(options.directory);
  for (const folder of [options.directory, runDir, stateDir]) mkdirSync(folder, { recursive: true, mode: 0o755 });
  const output = openSync(log, 'a');
  const child = spawn(
    PROGRAM,
    ['run', '--config', options.config, '--run-dir', runDir, '--state-dir', stateDir],
    { stdio: ['ignore', output, output], detached: true, env: { ...process.env, ...options.env } },
  );
  if (child.pid === undefined) throw new HeadgateError('lab-start', `${PROGRAM} cannot be started`);
  const forget = options.keep === true ? () => undefined : onEnd(() => killGroup(child));
  const running: Headgate = {
    pid: child.pid,
    runDir,
    stateDir,
    log,
    async stop() {
      await ended(child);
      forget();
    },
  };
  const state = await waitUntil('headgate run answers', () => {
    if (child.exitCode !== null || child.signalCode !== null) return 'ended';
    return existsSync(join(runDir, 'headgate.sock')) && 'ready';
  }).catch(() => 'late');
  if (state !== 'ready') {
    await running.stop();
    throw new HeadgateError('lab-start', `Headgate did not start. The end of its log ${log}:\n${tail(log)}`);
  }
  if (options.keep === true) child.unref();
  return running;
}

export function tail(file: string, lines = 20): string {
  return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n') : '(no log)';
}

// The process group: both children are in it too.
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // it has ended already
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    const timer = setTimeout(() => killGroup(child), 10_000);
    await gone;
    clearTimeout(timer);
  }
  killGroup(child);
}

