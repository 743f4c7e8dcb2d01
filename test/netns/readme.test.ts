// The README's first policy, run as it is printed.
//
//     hg-alice (10.20.0.1) ---TAP--- Headgate ---TAP--- hg-web (10.20.0.2)
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { deleteNamespace, namespaceExists } from '../../src/lab/namespaces.js';

const ROOT = process.env['HEADGATE_ROOT'] ?? resolve(import.meta.dirname, '../..');
const LEFT_BEHIND = ['/run/headgate-first', '/var/lib/headgate-first'];

/** The shell blocks of the section, one after the other. */
function walk(): string {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const section = readme.split("\n## A first policy of one's own\n")[1]?.split('\n## ')[0] ?? '';
  return [...section.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, block = '']) => block).join('\n');
}

/** The commands up to the first packet, the text that is written into files left out. */
function commandsToFirstPacket(): string[] {
  const commands = walk()
    .replace(/<<'EOF'\n[\s\S]*?^EOF$/gm, '')
    .split('\n')
    .filter((line) => line !== '');
  return commands.slice(0, commands.findIndex((line) => line.includes(' ping ')) + 1);
}

test('ten commands lead from a clone to the first packet', () => {
  const commands = commandsToFirstPacket();
  expect(commands[0]).toBe('scripts/setup');
  expect(commands.at(-1)).toContain('ping');
  expect(commands.length, commands.join('\n')).toBeLessThanOrEqual(10);
});

let folder = '';
let group = 0;
afterEach(() => {
  try {
    if (group !== 0) process.kill(-group, 'SIGKILL');
  } catch {
    // All of it has ended.
  }
  for (const netns of ['hg-alice', 'hg-web']) if (namespaceExists(netns)) deleteNamespace(netns);
  for (const path of [...LEFT_BEHIND, folder]) rmSync(path, { recursive: true, force: true });
});

test('every command works, and nothing is left', { timeout: 120_000 }, async () => {
  // In a folder of its own, which control may read, so that it does not write into the tree.
  folder = mkdtempSync(join(tmpdir(), 'hg-readme-'));
  chmodSync(folder, 0o755);
  for (const name of ['bin', 'scripts']) symlinkSync(join(ROOT, name), join(folder, name));
  const shell = spawn('bash', ['-ec', walk()], {
    cwd: folder,
    env: { ...process.env, HEADGATE_SETUP_DONE: '1' },
    detached: true,
    timeout: 90_000,
    killSignal: 'SIGKILL',
  });
  group = shell.pid ?? 0;
  let said = '';
  shell.stdout.on('data', (data: Buffer) => (said += data.toString()));
  shell.stderr.on('data', (data: Buffer) => (said += data.toString()));
  const code = await new Promise((done) => shell.once('exit', (status, signal) => done(signal ?? status)));

  expect(code, said).toBe(0);
  expect(said).toContain('allow: 10.20.0.1 -> 10.20.0.2');
  expect(said).toMatch(
    /icmp 10\.20\.0\.2 > 10\.20\.0\.1 echo request\n[^$]*drop +classify +web out: drop by the default/,
  );
  expect(said).toContain('2 packets transmitted, 2 received');
  expect(said).toContain('as it should be: web may not ping alice');
  expect(said).toContain('1 packets transmitted, 1 received');
  expect(said).toMatch(/revision 3 is in force/);
  for (const netns of ['hg-alice', 'hg-web']) expect(namespaceExists(netns), netns).toBe(false);
  expect(() => process.kill(-group, 0), 'no process is left').toThrow();
});
