// The journal of systemd as the log's destination: an entry with fields for each line, by its native protocol
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/), so that `journalctl HEADGATE_WORKLOAD=web-1` finds it.
//
// Each field of a line becomes HEADGATE_NAME; what happened is HEADGATE_EVENT. MESSAGE says all of it on one line.
import { fstatSync, writeSync } from 'node:fs';
import { loadAddon } from '../engine/addon.js';

const SOCKET = '/run/systemd/journal/socket';
const STDOUT = 1;
/** As syslog has them. */
const PRIORITIES: Record<string, number> = { trace: 7, debug: 7, info: 6, warn: 4, error: 3, fatal: 2 };

export interface Destination {
  write(line: string): void;
}

/** Whether standard output leads to the journal: systemd names its stream, which a child may have replaced by another. */
export function leadsToJournal(env: NodeJS.ProcessEnv = process.env, descriptor = STDOUT): boolean {
  const { dev, ino } = fstatSync(descriptor);
  return env['JOURNAL_STREAM'] === `${dev}:${ino}`;
}

/** What the journal does not take, because it is too long or there is no journal, goes to `otherwise` as it is. */
export function journal(
  socket = SOCKET,
  otherwise = (line: string): unknown => writeSync(STDOUT, line),
): Destination {
  return {
    write(line) {
      try {
        loadAddon().sendDatagram(socket, entryOf(JSON.parse(line) as Line), []);
      } catch {
        otherwise(line);
      }
    },
  };
}

interface Line {
  level: string;
  msg?: string;
  component: string;
  [field: string]: unknown;
}

/** A line of the log as an entry of the journal. */
export function entryOf({ level, msg = '', component, time: _, pid: __, ...rest }: Line): Buffer {
  const fields = Object.entries(rest).map(([name, value]): [string, string] => [name, textOf(value)]);
  const message = [msg, ...fields.map(([name, text]) => `${name}=${quoted(text)}`)].join(' ');
  return Buffer.concat([
    field('MESSAGE', message),
    field('PRIORITY', String(PRIORITIES[level] ?? 6)),
    field('SYSLOG_IDENTIFIER', `headgate-${component}`),
    field('HEADGATE_COMPONENT', component),
    field('HEADGATE_EVENT', msg),
    ...fields.map(([name, text]) => field(`HEADGATE_${upperSnake(name)}`, text)),
  ]);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

const quoted = (text: string) => (/^[^\s"=]+$/.test(text) ? text : JSON.stringify(text));

/** `sourcePort` -> `SOURCE_PORT`; the journal takes no more than 64 characters. */
const upperSnake = (name: string) =>
  name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replace(/[^A-Za-z0-9_]/g, '_')
    .toUpperCase()
    .slice(0, 55);

/** A value of several lines stands behind its length. */
function field(name: string, value: string): Buffer {
  if (!value.includes('\n')) return Buffer.from(`${name}=${value}\n`);
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(bytes.length));
  return Buffer.concat([Buffer.from(`${name}\n`), length, bytes, Buffer.from('\n')]);
}
