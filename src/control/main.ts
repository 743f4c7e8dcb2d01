// `headgate control`: store, documents, API; needs no privileges and serves until it is told to stop.
import type { Logger } from '../observe/logger.js';
import { readHostFile } from '../shared/host-file.js';
import { confDirectory, controlSocket, engineSocket, type Paths } from '../shared/paths.js';
import { ServiceManager } from '../shared/service-manager.js';
import { VERSION } from '../shared/version.js';
import { FileStore } from '../store/file-store.js';
import { AttachmentEvents } from './attachment-events.js';
import { Control } from './control.js';
import { HttpApi } from './http.js';
import { RuleLog } from './rule-log.js';

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
  const api = await listen(controlSocket(runDir), control, log);
  const ruleLog = new RuleLog(control, log);
  ruleLog.start();
  const attachmentEvents = new AttachmentEvents(control, control.events);
  attachmentEvents.start();
  log.info({ socket: api.path }, 'control listens');
  manager.ready();
  log.info({ signal: await stopped }, 'control stops');
  manager.stopping();
  ruleLog.stop();
  attachmentEvents.stop();
  await api.close();
  await control.stop();
}

/** A control that cannot be asked ends, instead of looking for its engine for ever. */
async function listen(socket: string, control: Control, log: Logger): Promise<HttpApi> {
  try {
    return await HttpApi.listen(socket, control, log);
  } catch (error) {
    await control.stop();
    throw error;
  }
}

function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve(signal));
  });
}
