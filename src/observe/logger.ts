// The log, with the process's name in `component`: JSON lines on standard output, one for each event, or entries with
// fields where standard output is systemd's journal.
import { pino, type Logger } from 'pino';
import { journal, leadsToJournal } from './journal.js';
import type { LogLevel } from './levels.js';

export type { Logger };

export function createLogger(component: string, level: LogLevel = 'info'): Logger {
  // Synchronous writes: what is logged before a crash is in the log.
  const destination = leadsToJournal() ? journal() : pino.destination({ fd: 1, sync: true });
  const options = {
    level,
    base: { component, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return pino(options, destination);
}
