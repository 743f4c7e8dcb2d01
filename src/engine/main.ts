// `headgate engine`: reads the host file, loads the packet path, serves until it is told to stop.
//
// Order: the pools' lock (taken by createEngine) comes before the socket, so a second engine fails before it could
// touch anything of the first.
import { mkdirSync } from 'node:fs';
import type { Logger } from '../observe/logger.js';
import { errorMessage, HeadgateError } from '../shared/errors.js';
import { readHostFile, type HostSettings } from '../shared/host-file.js';
import { engineSocket, poolDirectory, type Paths } from '../shared/paths.js';
import { ServiceManager } from '../shared/service-manager.js';
import { VERSION } from '../shared/version.js';
import { loadAddon, type NativeEngine } from './addon.js';
import { EngineProcess } from './engine.js';

export interface EngineMainOptions extends Paths {
  group?: number;
  log: Logger;
}

/** Runs until SIGTERM or SIGINT. Throws a HeadgateError when it cannot start. */
export async function runEngine({ config, runDir, group, log }: EngineMainOptions): Promise<void> {
  const host = readHostFile(config);
  const addon = load();
  makeRunDirectory(runDir);
  const manager = ServiceManager.find(log);
  const native = create(addon, host, runDir);
  const engine = new EngineProcess({
    native,
    permits: host,
    hostFile: config,
    socket: engineSocket(runDir),
    ...(group === undefined ? {} : { group }),
    version: VERSION,
    log,
  });
  const stopped = stopSignal();
  try {
    await engine.start();
  } catch (error) {
    native.stop();
    throw error;
  }
  log.info(
    { socket: engineSocket(runDir), workers: host.workers, connections: host.connections },
    'engine listens',
  );
  // That JavaScript runs is not enough: a hanging packet thread has to end the beats too.
  manager.ready(() => native.awaitWorkers());
  log.info({ signal: await stopped }, 'engine stops');
  manager.stopping();
  await engine.stop();
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

function create(addon: ReturnType<typeof loadAddon>, host: HostSettings, runDir: string): NativeEngine {
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
