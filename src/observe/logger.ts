// The log: JSON lines on standard output, one for each event, with the process's name in `component`.
import { pino, type Logger } from 'pino';
import type { LogLevel } from './levels.js';

export type { Logger };

export function createLogger(component: string, level: LogLevel = 'info'): Logger {
  // Synchronous writes: what is logged before a crash is in the log.
  const destination = pino.destination({ fd: 1, sync: true });
  const options = {
    level,
    base: { component, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return pino(options, destination);
}
