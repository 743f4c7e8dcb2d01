// `headgate control`: store, documents, API; needs no privileges and serves until it is told to stop.
import type { Logger } from '../observe/logger.js';
import { FlowLog } from '../flow-log/flow-log.js';
import { readHostFile } from '../shared/host-file.js';
import { confDirectory, controlSocket, engineSocket, metricsSocket, type Paths } from '../shared/paths.js';
import { ServiceManager } from '../shared/service-manager.js';
import { VERSION } from '../shared/version.js';
import { FileStore } from '../store/file-store.js';
import { AttachmentEvents } from './attachment-events.js';
import { Control } from './control.js';
import { listenApi } from './http.js';
import { listenMetrics } from './metrics-server.js';
import { RuleLog } from './rule-log.js';
import type { SocketServer } from './sockets.js';

export interface ControlMainOptions extends Paths {
  log: Logger;
}

/** Runs until SIGTERM or SIGINT. Throws a HeadgateError when it cannot start. */
export async function runControl({ config, runDir, stateDir, log }: ControlMainOptions): Promise<void> {
  const host = readHostFile(config);
  const manager = ServiceManager.find(log);
  const store = await FileStore.open(stateDir);
  const control = await Control.start({
    store,
    host: host.document,
    engineSocket: engineSocket(runDir),
    confDirectory: confDirectory(config),
    version: VERSION,
    log,
  });
  const stopped = stopSignal();
  const servers = await listen(runDir, control, log);
  const ruleLog = new RuleLog(control, log);
  ruleLog.start();
  const { flowLog: spec } = host.document.spec;
  const flowLog = spec && new FlowLog(control, spec, log);
  flowLog?.start();
  const attachmentEvents = new AttachmentEvents(control, control.events);
  attachmentEvents.start();
  log.info({ socket: controlSocket(runDir) }, 'control listens');
  manager.ready();
  log.info({ signal: await stopped }, 'control stops');
  manager.stopping();
  ruleLog.stop();
  await flowLog?.stop();
  attachmentEvents.stop();
  await closeAll(servers);
  await control.stop();
}

/** A control that cannot be asked ends, instead of looking for its engine for ever. */
async function listen(runDir: string, control: Control, log: Logger): Promise<SocketServer[]> {
  const servers: SocketServer[] = [];
  try {
    servers.push(await listenApi(controlSocket(runDir), control, log));
    servers.push(await listenMetrics(metricsSocket(runDir), control, log));
    return servers;
  } catch (error) {
    await closeAll(servers);
    await control.stop();
    throw error;
  }
}

async function closeAll(servers: SocketServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server.close()));
}

function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve(signal));
  });
}
