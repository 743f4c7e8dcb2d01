// `headgate engine`: reads the host file, loads the packet path, serves until it is told to stop.
//
// Order: the pools' lock (taken by createEngine) comes before the socket, so a second engine fails before it could
// touch anything of the first.
//
// An engine that `headgate upgrade` starts follows the one in charge instead (follower.ts). One that was followed stands
// by (giver.ts), until it is asked to follow again or its follower has gone.
import { mkdirSync } from 'node:fs';
import type { Logger } from '../observe/logger.js';
import { errorMessage, HeadgateError } from '../shared/errors.js';
import { readHostFile, type HostSettings } from '../shared/host-file.js';
import { engineSocket, handoverSocket, poolDirectory, type Paths } from '../shared/paths.js';
import { ServiceManager } from '../shared/service-manager.js';
import { VERSION } from '../shared/version.js';
import { loadAddon, type Addon, type NativeEngine } from './addon.js';
import { EngineProcess } from './engine.js';
import { findPredecessor, follow } from './follower.js';
import { Giver, type Left, type StandingBy } from './giver.js';
import { tellServing } from './launch.js';
import type { Peer } from './peer.js';

export interface EngineMainOptions extends Paths {
  group?: number;
  /** Follow the engine that is in charge. */
  takeOver: boolean;
  /** The arguments of this command, for the one that follows. */
  args: readonly string[];
  log: Logger;
}

interface Running {
  native: NativeEngine;
  engine: EngineProcess;
  before?: StandingBy;
}

/** Runs until SIGTERM or SIGINT, or until nobody needs it any more. Throws a HeadgateError when it cannot start. */
export async function runEngine(options: EngineMainOptions): Promise<void> {
  const { config, runDir, log } = options;
  const stopped = stopSignal();
  let predecessor = options.takeOver ? await findPredecessor(runDir) : undefined;
  const { host, addon } = await prepareProcess(options, predecessor);
  makeRunDirectory(runDir);
  const manager = ServiceManager.find(log);
  for (;;) {
    const settings = predecessor === undefined ? host : readHostFile(config);
    const running = await start(options, addon, settings, manager, predecessor);
    const left = await serve(options, addon, settings, manager, running, stopped);
    if (left === undefined) return;
    log.info({ follower: left.pid }, 'another engine is in charge; this one stands by');
    if (!(await isWanted(left, stopped))) return;
    log.info('asked to take over again');
    predecessor = await findPredecessor(runDir);
  }
}

/** What can fail before anything is touched; a predecessor is told. */
async function prepareProcess({ config }: EngineMainOptions, predecessor: Peer | undefined) {
  try {
    return { host: readHostFile(config), addon: load() };
  } catch (error) {
    if (predecessor !== undefined) {
      const me = { handover: 0, version: VERSION, pid: process.pid, layouts: {}, formerLayouts: [] };
      await predecessor.ask('begin', me).catch(() => undefined);
      await predecessor.tell('failed', { reason: errorMessage(error) });
    }
    throw error;
  }
}

async function start(
  options: EngineMainOptions,
  addon: Addon,
  host: HostSettings,
  manager: ServiceManager,
  predecessor: Peer | undefined,
): Promise<Running> {
  const { config, runDir, group, log } = options;
  const wrap = (native: NativeEngine, uptime: number) =>
    new EngineProcess({
      native,
      permits: host,
      hostFile: config,
      socket: engineSocket(runDir),
      ...(group === undefined ? {} : { group }),
      version: VERSION,
      log,
      uptime,
      store: manager,
    });
  if (predecessor !== undefined) return follow(predecessor, { addon, host, runDir, version: VERSION, wrap });
  const native = create(addon, host, runDir);
  const engine = wrap(native, 0);
  try {
    await engine.start();
  } catch (error) {
    native.stop();
    throw error;
  }
  return { native, engine };
}

/** In charge, until it is told to stop or another engine is. */
async function serve(
  { runDir, args, log }: EngineMainOptions,
  addon: Addon,
  { workers, connections }: HostSettings,
  manager: ServiceManager,
  { native, engine, before }: Running,
  stopped: Promise<string>,
): Promise<Left | undefined> {
  const giver = new Giver({
    addon,
    native,
    engine,
    socket: handoverSocket(runDir),
    version: VERSION,
    workers,
    connections,
    args,
    log,
    ...(before === undefined ? {} : { before }),
  });
  await giver.start();
  tellServing();
  const { alarms, ...found } = native.startReport();
  for (const alarm of alarms) log.error(alarm);
  log.info({ socket: engineSocket(runDir), workers, connections, found }, 'engine listens');
  // That JavaScript runs is not enough: a hanging packet thread has to end the beats too.
  manager.ready(() => native.awaitWorkers());
  const left = await Promise.race([giver.left, stopped]);
  if (typeof left !== 'string') {
    manager.replacedBy(left.pid);
    return left;
  }
  log.info({ signal: left }, 'engine stops');
  manager.stopping();
  giver.close();
  await engine.stop();
  return undefined;
}

/** Whether the engine in charge asks this one to follow it, before it ends. */
async function isWanted({ follower, asked }: Left, stopped: Promise<string>): Promise<boolean> {
  const wanted = await Promise.race([asked, follower.closed, stopped]);
  if (wanted !== 'take') follower.close();
  return wanted === 'take';
}

function load() {
  try {
    return loadAddon();
  } catch (cause) {
    throw new HeadgateError('addon', errorMessage(cause), { cause });
  }
}

function makeRunDirectory(runDir: string): void {
  try {
    mkdirSync(poolDirectory(runDir), { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new HeadgateError('run-dir', `The run directory ${runDir} cannot be used: ${errorMessage(cause)}`, {
      cause,
      remedy: 'It has to belong to root; --run-dir names another one.',
    });
  }
}

function create(addon: Addon, host: HostSettings, runDir: string): NativeEngine {
  const pools = poolDirectory(runDir);
  try {
    const { workers, connections, rules } = host;
    return addon.createEngine({ workers, connections, rules, poolDirectory: pools });
  } catch (cause) {
    throw new HeadgateError('engine-refused', `The engine cannot start: ${errorMessage(cause)}`, { cause });
  }
}

function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve(signal));
  });
}
