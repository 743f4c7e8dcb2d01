// Lines of the log as entries of the journal, read from a datagram socket by a reader of the native protocol. The real
// journal is asked in test/service/boot.
import { spawn } from 'node:child_process';
import { closeSync, fstatSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { pino } from 'pino';
import { journal, leadsToJournal } from '../../src/observe/journal.js';
import { until } from '../support/until.js';

/** Prints each datagram as JSON in base64. In Python, because Node has no unix datagram sockets. */
const LISTENER = `
import base64, json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('""', flush=True)
while True: print(json.dumps(base64.b64encode(s.recv(1 << 20)).decode()), flush=True)
`;

/** The fields of an entry: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/ */
function read(entry: Buffer): Record<string, string> {
  const fields: Record<string, string> = {};
  for (let at = 0; at < entry.length;) {
    const end = entry.indexOf('\n', at);
    const line = entry.subarray(at, end).toString();
    const [name = '', ...rest] = line.split('=');
    at = end + 1;
    if (rest.length > 0) {
      fields[name] = rest.join('=');
      continue;
    }
    const length = Number(entry.readBigUInt64LE(at));
    fields[name] = entry.subarray(at + 8, at + 8 + length).toString();
    at += 8 + length + 1;
  }
  return fields;
}

let folder: string;
let stop: (() => void) | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'headgate-journal-'));
});
afterEach(() => {
  stop?.();
  stop = undefined;
  rmSync(folder, { recursive: true });
});

const logger = (destination: { write(line: string): void }) =>
  pino(
    {
      level: 'debug',
      base: { component: 'control', pid: 1 },
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );

test('each field of a line is a field of the entry', async () => {
  const socket = join(folder, 'socket');
  const listener = spawn('python3', ['-c', LISTENER, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
  stop = () => listener.kill();
  const heard: Buffer[] = [];
  createInterface(listener.stdout).on('line', (line) =>
    heard.push(Buffer.from(JSON.parse(line) as string, 'base64')),
  );
  await until('the listener listens', () => heard.length === 1);

  const log = logger(journal(socket, () => expect.fail('the journal took it')));
  log.info({ workload: 'web-1', rule: 'shop/web', sourcePort: 443, why: 'a b="c"' }, 'rule');
  log.error({ details: ['one', 'two'], detail: `first\n${'x'.repeat(300)}` }, 'the disk is full');
  log.warn('no fields');
  log.debug({ 'odd name-é': true }, 'odd');
  await until('four entries', () => heard.length === 5);
  expect(heard.slice(1).map(read)).toEqual([
    {
      MESSAGE: 'rule workload=web-1 rule=shop/web sourcePort=443 why="a b=\\"c\\""',
      PRIORITY: '6',
      SYSLOG_IDENTIFIER: 'headgate-control',
      HEADGATE_COMPONENT: 'control',
      HEADGATE_EVENT: 'rule',
      HEADGATE_WORKLOAD: 'web-1',
      HEADGATE_RULE: 'shop/web',
      HEADGATE_SOURCE_PORT: '443',
      HEADGATE_WHY: 'a b="c"',
    },
    {
      MESSAGE: `the disk is full details="[\\"one\\",\\"two\\"]" detail="first\\n${'x'.repeat(300)}"`,
      PRIORITY: '3',
      SYSLOG_IDENTIFIER: 'headgate-control',
      HEADGATE_COMPONENT: 'control',
      HEADGATE_EVENT: 'the disk is full',
      HEADGATE_DETAILS: '["one","two"]',
      HEADGATE_DETAIL: `first\n${'x'.repeat(300)}`,
    },
    {
      MESSAGE: 'no fields',
      PRIORITY: '4',
      SYSLOG_IDENTIFIER: 'headgate-control',
      HEADGATE_COMPONENT: 'control',
      HEADGATE_EVENT: 'no fields',
    },
    expect.objectContaining({ PRIORITY: '7', HEADGATE_ODD_NAME__: 'true' }),
  ]);
});

test('what the journal does not take is written as the line that it is', () => {
  const lines: string[] = [];
  const log = logger(journal(join(folder, 'nobody'), (line) => lines.push(line)));
  log.info({ workload: 'web-1' }, 'rule');
  expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { level: 'info', component: 'control', workload: 'web-1', msg: 'rule' },
  ]);
});

describe('standard output leads to the journal', () => {
  test('where it is the stream that systemd names, and only there', () => {
    const file = join(folder, 'stream');
    writeFileSync(file, '');
    const descriptor = openSync(file, 'r');
    try {
      const { dev, ino } = fstatSync(descriptor);
      expect(leadsToJournal({ JOURNAL_STREAM: `${dev}:${ino}` }, descriptor)).toBe(true);
      expect(leadsToJournal({ JOURNAL_STREAM: `${dev}:${ino + 1}` }, descriptor)).toBe(false);
      expect(leadsToJournal({}, descriptor)).toBe(false);
    } finally {
      closeSync(descriptor);
    }
  });
});
