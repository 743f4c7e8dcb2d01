// Listening on a unix socket that its owner and group alone may open, from the moment it is there.
import { chmodSync, renameSync, statSync, unlinkSync } from 'node:fs';
import type { Server } from 'node:net';
import { errorMessage, HeadgateError } from './errors.js';

/** Throws `socket`, in words of `who` listens. */
export async function listenAt(server: Server, path: string, who: string, remedy: string): Promise<void> {
  const mask = process.umask(0o117);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, () => resolve());
    });
  } catch (cause) {
    const message = `${who} cannot listen on ${path}: ${errorMessage(cause)}`;
    throw new HeadgateError('socket', message, { cause, remedy });
  } finally {
    process.umask(mask);
  }
  chmodSync(path, 0o660);
}

/** One that may be there. */
export function removeSocket(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It was not there.
  }
}

/** Puts a socket in its place, and returns what takes it away again, if it is still the one. */
export function placeSocket(hidden: string, path: string): () => void {
  renameSync(hidden, path);
  const { ino } = statSync(path);
  return () => {
    if (statSync(path, { throwIfNoEntry: false })?.ino === ino) removeSocket(path);
  };
}
