// Makes the folders that `run` needs, with the owners and modes that keep the two processes apart.
//
//   run directory    root and control's group, 1770: control makes its socket there, but the sticky bit keeps it
//                    from replacing the engine's
//   state directory  control's user, 0700
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, type Stats } from 'node:fs';
import { errorMessage, HeadgateError } from '../shared/errors.js';
import { engineSocket } from '../shared/paths.js';
import type { User } from './users.js';

/** The kernel's limit for a unix socket's path, without its closing zero. */
const MOST_SOCKET_PATH = 107;

export function prepareRunDirectory(path: string, user: User): void {
  if (Buffer.byteLength(engineSocket(`${path}xx`)) > MOST_SOCKET_PATH) {
    throw new HeadgateError('run-dir', `The run directory's path is too long for unix sockets: ${path}`, {
      remedy: 'Choose a --run-dir of less than 90 characters.',
    });
  }
  const status = make(path, 'run-dir');
  if (status.uid !== 0 || (status.mode & 0o002) !== 0) {
    throw new HeadgateError('run-dir', `The run directory ${path} does not belong to root alone.`, {
      remedy: 'Name a folder that only root can write with --run-dir, or let Headgate make one.',
    });
  }
  chownSync(path, 0, user.gid);
  chmodSync(path, 0o1770);
}

export function prepareStateDirectory(path: string, user: User): void {
  const status = make(path, 'state-dir');
  if (status.uid === user.uid) return;
  // A folder with content may be something else's: it is not given away.
  if (status.uid !== 0 || readdirSync(path).length > 0) {
    throw new HeadgateError(
      'state-dir',
      `The state directory ${path} does not belong to ${user.name}, as whom control runs.`,
      {
        remedy: `If it is Headgate's: chown -R ${user.name}: ${path}`,
      },
    );
  }
  chownSync(path, user.uid, user.gid);
  chmodSync(path, 0o700);
}

function make(path: string, code: string): Stats {
  try {
    mkdirSync(path, { recursive: true, mode: 0o755 });
    const status = lstatSync(path);
    if (!status.isDirectory()) throw new Error('it is no directory');
    return status;
  } catch (cause) {
    throw new HeadgateError(code, `${path} cannot be used: ${errorMessage(cause)}`, { cause });
  }
}
