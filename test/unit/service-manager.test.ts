// What the service manager hears, on a real unix datagram socket: in Python, because Node has none.
import { spawn } from 'node:child_process';
import { closeSync, fstatSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadAddon } from '../../src/engine/addon.js';
import { ServiceManager } from '../../src/shared/service-manager.js';
import { until } from '../support/until.js';

/** Prints a line when it listens, and one for each datagram: its text and the inodes of the descriptors beside it. */
const LISTENER = `
import array, json, os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace('@', '\\0', 1))
print(json.dumps(['listens', []]), flush=True)
while True:
    text, control, _, _ = s.recvmsg(4096, 4096)
    fds = array.array('i', b''.join(data for _, _, data in control))
    print(json.dumps([text.decode(), [os.fstat(fd).st_ino for fd in fds]]), flush=True)
`;

type Heard = [text: string, inodes: number[]];

let folder: string;
let heard: Heard[];
let stop: (() => void) | undefined;

/** Begins to listen: what comes is in `heard`. */
async function listen(socket: string): Promise<void> {
  const listener = spawn('python3', ['-c', LISTENER, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
  stop = () => listener.kill();
  const mine: Heard[] = [];
  heard = mine;
  createInterface(listener.stdout).on('line', (line) => mine.push(JSON.parse(line) as Heard));
  await until('the listener listens', () => mine.length > 0);
  mine.length = 0;
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'headgate-notify-'));
});
afterEach(() => {
  stop?.();
  rmSync(folder, { recursive: true });
});

const quiet = { warn: (fields: object) => expect.fail(`a warning: ${JSON.stringify(fields)}`) };
const texts = () => heard.map(([text]) => text);
const beats = () => texts().filter((text) => text === 'WATCHDOG=1').length;

test.each(['a path', 'an abstract name'])('ready, beats, stopping, to %s', async (kind) => {
  const socket = kind === 'a path' ? join(folder, 'notify') : `@${folder}`;
  await listen(socket);
  const env = { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '40000', WATCHDOG_PID: String(process.pid) };
  const manager = ServiceManager.find(quiet, env);
  manager.ready();
  await until('three beats', () => beats() >= 3);
  manager.stopping();
  await until('the end is told', () => texts().includes('STOPPING=1'));
  expect(texts()[0]).toBe('READY=1');
  expect(texts().at(-1)).toBe('STOPPING=1');
});

test('a proof comes before each beat; who is not the watched process sends none', async () => {
  const socket = join(folder, 'notify');
  await listen(socket);
  const env = { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '10000' };
  const proofs: number[] = [];
  const manager = ServiceManager.find(quiet, env);
  const other = ServiceManager.find(quiet, { ...env, WATCHDOG_PID: '1' });
  other.ready(() => expect.fail('it is not the one that is watched'));
  manager.ready(() => proofs.push(beats()));
  await until('a beat', () => beats() > 1);
  manager.stopping();
  other.stopping();
  expect(proofs[0]).toBe(0);
  expect(texts().filter((text) => text === 'READY=1')).toHaveLength(2);
});

test('without a service manager nothing is said', () => {
  const manager = ServiceManager.find(quiet, { WATCHDOG_USEC: '1' });
  manager.ready(() => expect.fail('nobody watches'));
  manager.stopping();
});

test('a service manager that is gone is a warning, not an end', () => {
  const warnings: object[] = [];
  const env = { NOTIFY_SOCKET: join(folder, 'nobody') };
  ServiceManager.find({ warn: (fields) => warnings.push(fields) }, env).ready();
  expect(warnings).toEqual([
    { text: 'READY=1', detail: `${join(folder, 'nobody')}: No such file or directory` },
  ]);
});

test('descriptors arrive beside the text', async () => {
  const socket = join(folder, 'notify');
  await listen(socket);
  const descriptors = [openSync('/proc/self/ns/net', 'r'), openSync('/proc/self/ns/mnt', 'r')];
  try {
    loadAddon().sendDatagram(socket, Buffer.from('FDSTORE=1\nFDNAME=two'), descriptors);
    await until('it is heard', () => heard.length > 0);
    expect(heard).toEqual([['FDSTORE=1\nFDNAME=two', descriptors.map((fd) => fstatSync(fd).ino)]]);
  } finally {
    descriptors.forEach((fd) => closeSync(fd));
  }
});

test.each(['', `/${'x'.repeat(200)}`])('a socket that can be none is refused: %j', (socket) => {
  expect(() => loadAddon().sendDatagram(socket, Buffer.from('READY=1'), [])).toThrow(/1 to 107 characters/);
});
