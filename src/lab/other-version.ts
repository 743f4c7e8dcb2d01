// Another version of Headgate beside this one: for tests and benches of upgrades.
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { onEnd } from './cleanup.js';

const ROOT = resolve(process.env['HEADGATE_ROOT'] ?? '.');

/** As a tree of its own: its `bin/headgate`. */
export function otherVersion(options: {
  /** The addon below build/Release; absent: the same. A text: a file that holds it. */
  addon?: 'headgate_next.node' | { text: string };
  /** Source text that is put before that of a compiled file. */
  patch?: { file: string; from: string; to: string };
}): string {
  const tree = mkdtempSync('/run/hg-version-');
  chmodSync(tree, 0o755); // control is an ordinary user
  onEnd(() => rmSync(tree, { recursive: true, force: true }));
  for (const part of ['bin', 'dist', 'package.json'])
    cpSync(join(ROOT, part), join(tree, part), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
  const release = join(tree, 'build/Release');
  mkdirSync(release, { recursive: true });
  const addon = join(release, 'headgate.node');
  if (typeof options.addon === 'object') writeFileSync(addon, options.addon.text);
  else cpSync(join(ROOT, 'build/Release', options.addon ?? 'headgate.node'), addon);
  if (options.patch !== undefined) {
    const { file, from, to } = options.patch;
    const path = join(tree, 'dist', file);
    const text = readFileSync(path, 'utf8');
    if (!text.includes(from)) throw new Error(`${file} has no ${from}`);
    writeFileSync(path, text.replace(from, to));
  }
  return join(tree, 'bin/headgate');
}
