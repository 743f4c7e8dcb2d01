// `headgate run`: both processes as children, each with no more privileges than it needs.
//
//   engine   root, but with CAP_NET_ADMIN (TAP devices, addresses, packet sockets' options), CAP_NET_RAW (packet
//            sockets) and CAP_SYS_ADMIN (entering network namespaces) alone, and no way to gain others
//   control  an ordinary user without any capability
//
// A child that ends before Headgate was ready once is a failed start, and `run` ends too. After that a dead child is
// started again, at once and then with growing pauses while it keeps dying before it is of use. The engine does not notice the
// death of control.
//
// An engine may ask for another that is to follow it (engine/launch.ts). The one that says that it serves is looked
// after from then on; the other stands by until it ends by itself. Control is then started anew with the same program.
import { spawn, type ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StatusResult } from '../control/api.js';
import type { Logger } from '../observe/logger.js';
import { errorMessage, HeadgateError } from '../shared/errors.js';
import { readHostFile } from '../shared/host-file.js';
import { controlSocket, engineSocket, type Paths } from '../shared/paths.js';
import type { FromSupervisor, Program, ToSupervisor } from '../engine/launch.js';
import { bringForward, mayBringForward, NICER } from './priority.js';
import { ApiClient } from './client.js';
import { prepareRunDirectory, prepareStateDirectory } from './folders.js';
import { note } from './output.js';
import { answers } from './probe.js';
import { controlUser, type User } from './users.js';

const ENGINE_CAPABILITIES = ['net_admin', 'net_raw', 'sys_admin'];
const POLL_MILLISECONDS = 50;
const START_MILLISECONDS = 30_000;
const STOP_MILLISECONDS = 10_000;
const FIRST_PAUSE = 200;
const MOST_PAUSE = 10_000;
/** A child that lived as long as this is not one that keeps dying. */
const STEADY_MILLISECONDS = 30_000;
const SERVED_MILLISECONDS = 1_000;

export interface RunOptions extends Paths {
  logLevel: string;
  log: Logger;
  /** The compiled src/cli/main.ts. */
  program: string;
}

type Name = 'engine' | 'control';

interface Child {
  process: ChildProcess;
  program: Program;
  ended: Promise<string>;
  /** An engine that got as far as to take frames. */
  served: boolean;
}

/** Runs until SIGTERM or SIGINT. Throws a HeadgateError when it cannot start. */
export async function runBoth(options: RunOptions): Promise<void> {
  const user = await prepare(options);
  await new Supervisor(options, user).run();
}

async function prepare({ config, runDir, stateDir, log }: RunOptions): Promise<User> {
  if (process.geteuid?.() !== 0) {
    throw new HeadgateError('not-root', 'headgate run has to be started by root.', {
      remedy: 'Use sudo. The engine then keeps three capabilities, and control runs as an ordinary user.',
    });
  }
  const host = readHostFile(config);
  const user = controlUser(host.user);
  if (user.name === 'nobody') {
    log.warn(
      'control runs as nobody, whom other services may share: useradd --system headgate gives it its own user',
    );
  }
  if (await answers(engineSocket(runDir))) {
    throw new HeadgateError('engine-running', `Another engine answers on ${engineSocket(runDir)}.`, {
      remedy: 'Stop it first, or give this one a --run-dir and a --state-dir of its own.',
    });
  }
  prepareRunDirectory(runDir, user);
  prepareStateDirectory(stateDir, user);
  return user;
}

class Supervisor {
  readonly #options: RunOptions;
  readonly #user: User;
  readonly #children = new Map<Name, Child>();
  /** Engines that are not in charge: they prepare to follow, or stand by. */
  readonly #beside = new Set<Child>();
  /** What is started; another one after an upgrade. */
  #program: Program;
  #followed: () => void = () => undefined;
  readonly #mayBringForward = mayBringForward();
  readonly #stop: Promise<string>;
  #stopping = false;
  #ready = false;

  constructor(options: RunOptions, user: User) {
    this.#options = options;
    this.#user = user;
    this.#program = { node: process.execPath, program: options.program };
    this.#stop = new Promise((resolve) => {
      for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
        process.on(signal, () => {
          // At once: a child that ends now was told to and is not started again.
          this.#stopping = true;
          resolve(signal);
        });
    });
  }

  async run(): Promise<void> {
    const engine = this.#keep('engine');
    const control = this.#keep('control');
    try {
      await Promise.race([this.#stop, engine, control, this.#reportReady()]);
      await Promise.race([this.#stop, engine, control]);
    } finally {
      this.#stopping = true;
      for (const child of this.#beside) child.process.kill('SIGTERM');
      await this.#end('control');
      await this.#end('engine');
      for (const child of this.#beside) child.process.kill('SIGKILL');
    }
  }

  /** Keeps one child alive until `run` stops; throws when it ends before Headgate was ready once. */
  async #keep(name: Name): Promise<void> {
    let pause = 0;
    while (!this.#stopping) {
      const began = Date.now();
      this.#children.set(name, this.#spawn(name, this.#program));
      const how = await this.#endOf(name);
      const served = this.#children.get(name)?.served;
      this.#children.delete(name);
      if (this.#stopping) return;
      if (!this.#ready)
        throw new HeadgateError(
          `${name}-start`,
          `Headgate does not start: its ${name} ended at once (${how}).`,
        );
      // Frames wait for an engine: at once, but not more often than once a second.
      if (served === true) pause = Math.max(0, began + SERVED_MILLISECONDS - Date.now());
      else if (Date.now() - began > STEADY_MILLISECONDS) pause = 0;
      this.#options.log.error({ child: name, how, milliseconds: pause }, 'child ended; it is started again');
      await Promise.race([this.#stop, sleep(pause, undefined, { ref: false })]);
      pause = Math.min(Math.max(pause * 2, FIRST_PAUSE), MOST_PAUSE);
    }
  }

  /** How the child ended that was looked after last under that name. */
  async #endOf(name: Name): Promise<string> {
    for (;;) {
      const child = this.#children.get(name) as Child;
      const how = await Promise.race([
        child.ended,
        new Promise<undefined>((resolve) => {
          if (name === 'engine') this.#followed = () => resolve(undefined);
        }),
      ]);
      if (how !== undefined && child === this.#children.get(name)) return how;
    }
  }

  #hear(child: Child, message: ToSupervisor): void {
    if (this.#stopping) return;
    if ('launch' in message) {
      const beside = this.#spawn('engine', message.launch, true);
      this.#beside.add(beside);
      void beside.ended.then((ended) => {
        this.#beside.delete(beside);
        if (child.process.connected) child.process.send({ ended, id: message.id } satisfies FromSupervisor);
      });
      return;
    }
    if ('forward' in message) {
      bringForward(child.process.pid ?? 0);
      if (child.process.connected) child.process.send({ forward: true } satisfies FromSupervisor);
      return;
    }
    child.served = true;
    const before = this.#children.get('engine');
    if (before === child || before === undefined) return;
    this.#beside.delete(child);
    this.#beside.add(before);
    void before.ended.then(() => this.#beside.delete(before));
    this.#children.set('engine', child);
    this.#followed();
    this.#options.log.info(
      { engine: child.process.pid, before: before.process.pid },
      'another engine is in charge',
    );
    if (child.program.program === this.#program.program) return;
    this.#program = child.program;
    this.#children.get('control')?.process.kill('SIGTERM');
  }

  #spawn(name: Name, program: Program, takeOver = false): Child {
    const { config, runDir, stateDir, logLevel } = this.#options;
    const paths = ['--config', config, '--run-dir', runDir, '--log-level', logLevel];
    const args =
      name === 'engine' ? [...paths, '--group', String(this.#user.gid)] : [...paths, '--state-dir', stateDir];
    if (takeOver) args.push('--take-over');
    const [command = '', ...argv] = [
      'setpriv',
      ...this.#privileges(name),
      '--',
      ...(takeOver && this.#mayBringForward ? NICER : []),
      program.node,
      program.program,
      name,
      ...args,
    ];
    const started = spawn(command, argv, {
      stdio: ['ignore', 'inherit', 'inherit', ...(name === 'engine' ? (['ipc'] as const) : [])],
    });
    const ended = new Promise<string>((resolve) => {
      started.once('error', (error) => resolve(errorMessage(error)));
      started.once('exit', (code, signal) => resolve(signal ?? `exit ${code ?? 0}`));
    });
    const child = { process: started, program, ended, served: false };
    started.on('message', (message: ToSupervisor) => this.#hear(child, message));
    return child;
  }

  #privileges(name: Name): string[] {
    // Neither child outlives `run`, however that ends.
    const common = ['--no-new-privs', '--inh-caps=-all', '--pdeathsig', 'TERM'];
    const { uid, gid } = this.#user;
    if (name === 'control')
      return [
        ...common,
        '--reuid',
        String(uid),
        '--regid',
        String(gid),
        '--clear-groups',
        '--bounding-set=-all',
      ];
    // Root without CAP_CHOWN may give its socket to a group that it is a member of.
    return [
      ...common,
      '--groups',
      String(gid),
      `--bounding-set=-all,${ENGINE_CAPABILITIES.map((one) => `+${one}`).join(',')}`,
    ];
  }

  async #end(name: Name): Promise<void> {
    const child = this.#children.get(name);
    if (child === undefined) return;
    child.process.kill('SIGTERM');
    const timer = setTimeout(() => {
      this.#options.log.error({ child: name }, 'child does not stop; it is killed');
      child.process.kill('SIGKILL');
    }, STOP_MILLISECONDS);
    await child.ended;
    clearTimeout(timer);
  }

  async #reportReady(): Promise<void> {
    const client = new ApiClient(this.#options.runDir);
    const until = Date.now() + START_MILLISECONDS;
    let fault = 'control does not answer';
    while (Date.now() < until && !this.#stopping) {
      try {
        const status = await client.get<StatusResult>('/v1/status');
        if (status.ready) return this.#announce(status);
        fault = status.fault ?? 'no reason given';
        if (status.refused === true) break;
      } catch {
        // It does not listen yet.
      }
      await sleep(POLL_MILLISECONDS);
    }
    if (this.#stopping) return;
    this.#ready = true;
    note(`headgate: running, but the policy is not in force: ${fault}`);
  }

  #announce(status: StatusResult): void {
    this.#ready = true;
    const socket = controlSocket(this.#options.runDir);
    note(
      `headgate: ready: engine ${status.engine?.pid ?? 0}, control ${status.pid} as ${this.#user.name}, ` +
        `revision ${status.revision} with ${status.documents} documents, API on ${socket}`,
    );
  }
}
