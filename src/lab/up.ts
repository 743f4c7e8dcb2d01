// Puts a lab up and takes it down: the namespaces that the documents name, and a Headgate that enforces them.
//
// What was made is written to LAB/lab.json before it is made, so that `down` finds it whatever happened in between.
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ApiClient } from '../cli/client.js';
import { sourcesOf } from '../cli/sources.js';
import type { DocumentResult, StatusResult } from '../control/api.js';
import { formatError, formatYaml, loadPaths, ofKind, type Document } from '../documents/index.js';
import { HeadgateError } from '../shared/errors.js';
import { readHostFile } from '../shared/host-file.js';
import { onEnd } from './cleanup.js';
import { startHeadgate, stopProcess, isAlive } from './headgate.js';
import { createNamespace, deleteNamespace, ip, namespaceExists, waitUntil } from './namespaces.js';
import { placesOf, type Place } from './topology.js';

interface LabState {
  directory: string;
  pid?: number;
  /** Those that the lab made, not those that were there. */
  namespaces: string[];
}

/** The lab's own folder stands beside the run folder: host file, store, log and lab.json. */
export const labFolder = (runDir: string): string => `${resolve(runDir)}-lab`;
const stateFile = (runDir: string): string => join(labFolder(runDir), 'lab.json');

export interface Lab {
  runDir: string;
  log: string;
  documents: Document[];
  places: Place[];
}

/** Reads the documents of a folder. Throws `documents` with one line for each fault. */
export async function readLab(directory: string): Promise<Document[]> {
  const { documents, errors } = await loadPaths([resolve(directory)]);
  if (errors.length === 0) return documents;
  throw new HeadgateError('documents', `The documents in ${directory} have errors.`, {
    details: errors.map(formatError),
  });
}

/**
 * Puts the lab up and waits until every workload is attached. A failure takes down again what was made, and so does
 * the end of this process, unless `keepAll` is called.
 */
export async function up(directory: string, runDir: string, say: (text: string) => void): Promise<Lab> {
  const documents = await readLab(directory);
  const places = placesOf(documents);
  if (existsSync(stateFile(runDir))) {
    throw new HeadgateError('lab-up', `A lab is up already (${stateFile(runDir)}).`, {
      remedy: 'Take it down with `headgate lab down`, or give this one a --run-dir of its own.',
    });
  }
  const folder = labFolder(runDir);
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  onEnd(() => rmSync(folder, { recursive: true, force: true }));
  try {
    const state: LabState = {
      directory: resolve(directory),
      namespaces: places.map(({ netns }) => netns).filter((netns) => !namespaceExists(netns)),
    };
    write(runDir, state);
    say(`making ${state.namespaces.length} namespaces: ${state.namespaces.join(' ')}`);
    for (const netns of state.namespaces) createNamespace(netns);

    say('starting headgate run');
    const config = hostFile(documents, folder);
    const log = join(folder, 'headgate.log');
    const running = await startHeadgate({ config, runDir, stateDir: join(folder, 'state'), log });
    write(runDir, { ...state, pid: running.pid });
    await applyAndAttach(directory, runDir, say);
    await waitForAddresses(places);
    return { runDir, log, documents, places };
  } catch (error) {
    await down(runDir);
    throw error;
  }
}

/** Takes down what `up` made; does nothing when no lab is up. */
export async function down(runDir: string): Promise<boolean> {
  if (!existsSync(stateFile(runDir))) return false;
  const state = JSON.parse(readFileSync(stateFile(runDir), 'utf8')) as LabState;
  if (state.pid !== undefined && isAlive(state.pid) && isOurs(state.pid, runDir))
    await stopProcess(state.pid);
  for (const netns of state.namespaces) deleteNamespace(netns);
  rmSync(labFolder(runDir), { recursive: true, force: true });
  return true;
}

// A process id may have passed to somebody else since it was written down.
function isOurs(pid: number, runDir: string): boolean {
  const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  return words.includes('run') && words.includes(runDir);
}

function write(runDir: string, state: LabState): void {
  writeFileSync(stateFile(runDir), `${JSON.stringify(state, null, 2)}\n`);
}

/** The folder's host file, or a copy of it in the lab's folder where it is not root's alone, as the engine wants it. */
function hostFile(documents: Document[], folder: string): string {
  const [host, second] = ofKind(documents, 'Host');
  if (host === undefined || second !== undefined) {
    throw new HeadgateError(
      'lab-host',
      `The folder has ${host === undefined ? 'no document' : 'several documents'} of kind Host.`,
      {
        remedy:
          'A lab needs exactly one: it says in which namespaces Headgate may make devices (spec.attach.namespaces).',
      },
    );
  }
  if (isRootsAndReadable(host.origin.file)) return host.origin.file;
  const copy = join(folder, 'headgate.yaml');
  writeFileSync(copy, formatYaml([host]), { mode: 0o644 });
  return copy;
}

/** Whether the engine takes the file as the host file, and control, an ordinary user, can read it. */
function isRootsAndReadable(file: string): boolean {
  try {
    readHostFile(file);
  } catch {
    return false;
  }
  const folders = file
    .split('/')
    .slice(1, -1)
    .map((_, i, parts) => `/${parts.slice(0, i + 1).join('/')}`);
  return (
    (statSync(file).mode & 0o004) !== 0 && folders.every((folder) => (statSync(folder).mode & 0o001) !== 0)
  );
}

async function applyAndAttach(directory: string, runDir: string, say: (text: string) => void): Promise<void> {
  const control = new ApiClient(runDir);
  await waitUntil(
    'the engine is connected',
    async () => (await control.get<StatusResult>('/v1/status')).engine !== undefined,
  );
  say(`applying ${directory}`);
  await control.post('/v1/apply', { sources: await sourcesOf([directory]), prune: true });
  let last: DocumentResult[] = [];
  const attached = async () => {
    last = await control.get<DocumentResult[]>('/v1/documents/Workload');
    return last.every(({ status }) => status?.state === 'attached');
  };
  await waitUntil('all workloads are attached', attached).catch(() => {
    const waiting = last.filter(({ status }) => status?.state !== 'attached');
    throw new HeadgateError('lab-attach', 'Not all workloads are attached.', {
      details: waiting.map(
        ({ metadata, status }) => `${metadata.name}: ${status?.detail ?? status?.state ?? 'unknown'}`,
      ),
    });
  });
}

/** Addresses can be used when IPv6 has finished its search for duplicates (RFC 4862). */
async function waitForAddresses(places: Place[]): Promise<void> {
  for (const { netns, ipv4, ipv6 } of places) {
    await waitUntil(`the addresses in ${netns}`, () => {
      const text = ip('-n', netns, 'address', 'show');
      const there = [ipv4, ipv6].every(
        (address) =>
          address === undefined || text.includes(`inet${address.includes(':') ? '6' : ''} ${address}/`),
      );
      return there && !text.includes('tentative');
    });
  }
}
