// The watchdog's beats of a real engine end when one of its packet threads stops, though JavaScript could go on, and
// come again when that thread does. A thread is stopped alone by tracing it.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../support/until.js';

const BEAT_MILLISECONDS = 50;

/** A line for each datagram on the socket. */
const LISTENER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('listens', flush=True)
while True: print(s.recv(4096).decode(), flush=True)
`;
/** PTRACE_SEIZE and PTRACE_INTERRUPT stop one thread; it goes on when the tracer ends. */
const STOPPER = `
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
for request in (0x4206, 0x4207):
    if libc.ptrace(request, int(sys.argv[1]), None, None): sys.exit(os.strerror(ctypes.get_errno()))
os.waitpid(int(sys.argv[1]), 0x40000000)
print('stopped', flush=True)
time.sleep(600)
`;

const folder = mkdtempSync('/run/hg-watchdog-');
const children: ChildProcess[] = [];
const heard: string[] = [];
const beats = () => heard.filter((text) => text === 'WATCHDOG=1').length;

/** Runs Python; resolves when it has written its first line. */
async function python(program: string, argument: string, lines: string[]): Promise<ChildProcess> {
  const child = spawn('python3', ['-c', program, argument], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  createInterface(child.stdout).on('line', (line) => lines.push(line));
  await until('Python has begun', () => lines.length > 0);
  return child;
}

beforeAll(async () => {
  const socket = join(folder, 'notify');
  await python(LISTENER, socket, heard);
  writeFileSync(
    join(folder, 'host.yaml'),
    'apiVersion: headgate/v1\nkind: Host\nmetadata: {name: test}\nspec: {workers: 2}\n',
  );
  const args = ['engine', '--config', join(folder, 'host.yaml'), '--run-dir', join(folder, 'run')];
  const env = { ...process.env, NOTIFY_SOCKET: socket, WATCHDOG_USEC: String(2 * BEAT_MILLISECONDS * 1000) };
  children.push(spawn('bin/headgate', args, { env, stdio: ['ignore', 'ignore', 'inherit'] }));
  await until('the engine is ready', () => heard.includes('READY=1'));
});
afterAll(() => {
  children.reverse().forEach((child) => child.kill('SIGKILL'));
  rmSync(folder, { recursive: true });
});

const thread = (name: string): string => {
  const tasks = `/proc/${children[1]?.pid}/task`;
  const found = readdirSync(tasks).find((id) => readFileSync(`${tasks}/${id}/comm`, 'utf8').trim() === name);
  if (found === undefined) throw new Error(`the engine has no thread ${name}`);
  return found;
};

test.each(['headgate-w0', 'headgate-w1'])('%s stops and goes on', async (name) => {
  const before = beats();
  await until('beats come', () => beats() > before + 1);
  const stopper = await python(STOPPER, thread(name), []);
  // One that was under way may still arrive.
  const stopped = beats();
  await new Promise((resolve) => setTimeout(resolve, 10 * BEAT_MILLISECONDS));
  expect(beats()).toBeLessThanOrEqual(stopped + 1);
  stopper.kill('SIGKILL');
  const quiet = beats();
  await until('beats come again', () => beats() > quiet + 1);
});
