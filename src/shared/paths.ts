// Where things are: the defaults of the command line's path options and what lies below them.
import { dirname, join } from 'node:path';

export interface Paths {
  /** Sockets and pools; lost at reboot. */
  runDir: string;
  /** The store's revisions. */
  stateDir: string;
  /** The root-owned host file. */
  config: string;
}

export function defaultPaths(env: NodeJS.ProcessEnv = process.env): Paths {
  return {
    runDir: env['HEADGATE_RUN_DIR'] ?? '/run/headgate',
    stateDir: env['HEADGATE_STATE_DIR'] ?? '/var/lib/headgate',
    config: env['HEADGATE_CONFIG'] ?? '/etc/headgate/headgate.yaml',
  };
}

export const engineSocket = (runDir: string): string => join(runDir, 'engine.sock');
export const controlSocket = (runDir: string): string => join(runDir, 'headgate.sock');
export const metricsSocket = (runDir: string): string => join(runDir, 'metrics.sock');
export const poolDirectory = (runDir: string): string => join(runDir, 'pools');
/** On which engines and `headgate upgrade` speak; root alone may enter its folder. */
export const handoverSocket = (runDir: string): string => join(poolDirectory(runDir), 'handover.sock');
/** Documents that control applies when it starts. */
export const confDirectory = (config: string): string => join(dirname(config), 'conf.d');
