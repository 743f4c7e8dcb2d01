// The host file: the one document (kind Host) that root alone may write, and that both processes read.
//
// It decides what may be attached, so a file, or the folder it lies in, that others may write is refused: they
// could grant themselves any interface of the host.
import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  statSync,
  type Stats,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { formatError, readDocuments, type HostDocument, type HostSpec } from '../documents/index.js';
import { errorCode, errorMessage, HeadgateError } from './errors.js';

const EXAMPLE = `apiVersion: headgate/v1
kind: Host
metadata:
  name: this-host
spec:
  default: allow
  attach:
    namespaces: ["*"]
`;

/** The settings with their defaults filled in. */
export interface HostSettings {
  default: 'allow' | 'drop';
  namespaces: string[];
  interfaces: string[];
  workers: number;
  connections: number;
  rules: number;
  /** The user that control runs as; absent: `headgate` if it exists, else `nobody`. */
  user?: string;
  timeouts: NonNullable<HostSpec['timeouts']>;
  /** The document itself. */
  document: HostDocument;
}

const DEFAULT_WORKERS = 1;
const DEFAULT_CONNECTIONS = 262_144;
const DEFAULT_RULES = 262_144;

/**
 * Reads the host file. Throws `host-file` with the remedy when it is missing, not root's own, or wrong.
 * `owner` is the user id that has to own it.
 */
export function readHostFile(path: string, owner = 0): HostSettings {
  const text = readTrusted(path, owner);
  const { documents, errors } = readDocuments([{ file: path, text }]);
  if (errors.length > 0) {
    throw new HeadgateError('host-file', `The host file ${path} has errors.`, {
      details: errors.map(formatError),
    });
  }
  const [host, second] = documents;
  if (host?.kind !== 'Host' || second !== undefined) {
    throw new HeadgateError(
      'host-file',
      `The host file ${path} must hold one document of kind Host and nothing else.`,
      {
        remedy: `Other documents belong into ${dirname(path)}/conf.d/ or are given to headgate apply.`,
      },
    );
  }
  return withDefaults(host);
}

export function withDefaults(document: HostDocument): HostSettings {
  const { spec } = document;
  return {
    default: spec.default ?? 'allow',
    namespaces: spec.attach?.namespaces ?? [],
    interfaces: spec.attach?.interfaces ?? [],
    workers: spec.workers ?? DEFAULT_WORKERS,
    connections: spec.connections ?? DEFAULT_CONNECTIONS,
    rules: spec.rules ?? DEFAULT_RULES,
    ...(spec.user === undefined ? {} : { user: spec.user }),
    timeouts: spec.timeouts ?? {},
    document,
  };
}

function readTrusted(path: string, owner: number): string {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') {
      throw new HeadgateError('host-file', `The host file ${path} does not exist.`, {
        cause,
        remedy: `As root create it, for example with:\n\n${EXAMPLE}\nor name another one with --config FILE.`,
      });
    }
    throw new HeadgateError('host-file', `The host file ${path} cannot be read: ${errorMessage(cause)}`, {
      cause,
      remedy: `Control reads it as an ordinary user: chmod a+rX ${unreadablePart(path)}`,
    });
  }
  try {
    const file = fstatSync(descriptor);
    if (!file.isFile()) throw new HeadgateError('host-file', `The host file ${path} is not a regular file.`);
    const folder = statSync(dirname(path));
    // Nobody can replace root's file in a sticky folder such as /tmp.
    const folderSafe = isOwnedAlone(folder, owner) || (folder.mode & 0o1000) !== 0;
    if (!isOwnedAlone(file, owner) || !folderSafe) throw writable(path, file, owner);
    return readFileSync(descriptor, 'utf8');
  } finally {
    closeSync(descriptor);
  }
}

/** The first part of the path that this user may not search or read. */
function unreadablePart(path: string): string {
  const parts = resolve(path).split('/');
  for (let i = 1; i < parts.length; i++) {
    const part = parts.slice(0, i + 1).join('/');
    try {
      accessSync(part, i === parts.length - 1 ? constants.R_OK : constants.X_OK);
    } catch {
      return part;
    }
  }
  return path;
}

function isOwnedAlone(status: Stats, owner: number): boolean {
  return status.uid === owner && (status.mode & 0o022) === 0;
}

function writable(path: string, file: Stats, owner: number): HeadgateError {
  const what = isOwnedAlone(file, owner) ? dirname(path) : path;
  return new HeadgateError(
    'host-file',
    `The host file decides what may be attached, and ${what} can be written by others than root.`,
    {
      remedy: `As root: chown root:root ${what} && chmod go-w ${what}`,
    },
  );
}
