// Starts the engine that is to follow this one, with the privileges of this one.
//
// Under `headgate run` the supervisor does it, which then looks after both. Elsewhere this process does: the new one is
// nobody's child, so the service manager becomes its parent, in the same service, and it outlives this one.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { getPriority } from 'node:os';
import { HeadgateError } from '../shared/errors.js';

export interface Program {
  node: string;
  /** The compiled src/cli/main.ts. */
  program: string;
}

export interface Launched {
  /** How it ended. */
  ended: Promise<string>;
}

/** What engine and supervisor say to each other. */
export type ToSupervisor = { launch: Program; id: number } | { serving: true } | { forward: true };
export type FromSupervisor = { ended: string; id: number } | { forward: true };

let launches = 0;

export function launch({ node, program }: Program, args: readonly string[]): Launched {
  for (const file of [node, program])
    if (!existsSync(file))
      throw new HeadgateError(
        'program',
        `The program that is to follow cannot be started: there is no ${file}.`,
      );
  return process.send === undefined
    ? launchAlone(node, program, args)
    : launchBySupervisor({ node, program });
}

/** To the supervisor, if there is one: this process is the engine in charge. */
export function tellServing(): void {
  if (process.send !== undefined) process.send({ serving: true } satisfies ToSupervisor);
}

/**
 * Who is about to take over must not be behind others any more (priority.ts): the supervisor, which has made it nicer,
 * may take that back.
 */
export async function comeForward(): Promise<void> {
  if (process.send === undefined || getPriority() <= 0) return;
  const forward = new Promise<void>((resolve) => {
    const hear = (message: unknown) => {
      if (!('forward' in (message as FromSupervisor))) return;
      process.off('message', hear);
      resolve();
    };
    process.on('message', hear);
  });
  process.send({ forward: true } satisfies ToSupervisor);
  await forward;
}

function launchBySupervisor(launch: Program): Launched {
  const id = (launches += 1);
  const ended = new Promise<string>((resolve) => {
    const hear = (message: unknown) => {
      const said = message as FromSupervisor;
      if (!('ended' in said) || said.id !== id) return;
      process.off('message', hear);
      resolve(said.ended);
    };
    process.on('message', hear);
  });
  process.send?.({ launch, id } satisfies ToSupervisor);
  return { ended };
}

function launchAlone(node: string, program: string, args: readonly string[]): Launched {
  const env = { ...process.env };
  // They name this process.
  for (const name of ['WATCHDOG_PID', 'LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete env[name];
  // The fourth descriptor is open in the new process for as long as it lives.
  const child = spawn('setsid', ['--fork', node, program, ...args], {
    env,
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
  });
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.stdio[3]?.once('close', () => resolve('it ended'));
    child.stdio[3]?.on('data', () => undefined);
  });
  return { ended };
}
