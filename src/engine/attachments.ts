// Keeps the ports of the workloads as the policy says: attached, or waiting for what is not there yet.
//
// After each publish the wanted attachments are compared with those that exist; then, once a second, `tick`
// tries those that wait and looks for those that were lost. An open TAP descriptor keeps a deleted network
// namespace alive and silent, so a namespace counts as gone when its file is missing or names another inode
// than the one attached to. The addon reports devices that vanish by itself (`failures`).
//
// Nothing is attached before the first publish: without one there is nothing to compare with.
import { statSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { errorCode, errorMessage } from '../shared/errors.js';
import type { NativeEngine } from './addon.js';
import type { Attach, Attachment, Delta, EngineWorkload } from './messages.js';
import { namespacePath } from './permits.js';

/** Identity of a namespace: the device and inode of its file; undefined when there is none. */
export type NamespaceIdentity = (path: string) => string | undefined;

export interface AttachmentsLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

interface Entry {
  attach: Attach;
  segment: string;
  state: Attachment['state'];
  detail?: string;
  mac?: string;
  /** The namespace attached to; set while attached to a tap in a named namespace. */
  namespace?: string;
  /** Ticks to let pass before the next try. */
  rest: number;
  failuresInRow: number;
}

/** Missing things come when somebody makes them, so they are tried again at every tick. The addon names the errno. */
const MISSING = /\b(ENOENT|ENODEV|ENXIO)\b/;
const MOST_REST_TICKS = 30;

export class Attachments {
  readonly #native: Pick<NativeEngine, 'attach' | 'detach' | 'failures'>;
  readonly #log: AttachmentsLog;
  readonly #identify: NamespaceIdentity;
  readonly #entries = new Map<string, Entry>();

  constructor(
    native: Pick<NativeEngine, 'attach' | 'detach' | 'failures'>,
    log: AttachmentsLog,
    identify: NamespaceIdentity = identifyNamespace,
  ) {
    this.#native = native;
    this.#log = log;
    this.#identify = identify;
  }

  /** Called after a delta was published: attaches what is new, moves what changed, detaches what was removed. */
  published(delta: Delta): void {
    for (const workload of delta.setWorkloads ?? []) {
      const known = this.#entries.get(workload.name);
      if (known !== undefined && isSameAs(known, workload)) continue;
      if (known !== undefined) this.#release(workload.name, known, true);
      const entry: Entry = {
        attach: workload.attach,
        segment: workload.segment,
        state: 'waiting',
        rest: 0,
        failuresInRow: 0,
      };
      this.#entries.set(workload.name, entry);
      this.#try(workload.name, entry);
    }
    for (const name of delta.removeWorkloads ?? []) {
      const entry = this.#entries.get(name);
      if (entry === undefined) continue;
      this.#release(name, entry, true);
      this.#entries.delete(name);
    }
  }

  /**
   * Takes the workloads off their ports that the delta moves to another segment or port: the addon refuses to move
   * what is attached. `tick` puts them back if the delta is then refused.
   */
  releaseMoving(delta: Delta): void {
    for (const workload of delta.setWorkloads ?? []) {
      const entry = this.#entries.get(workload.name);
      if (entry?.state !== 'attached' || isSameAs(entry, workload)) continue;
      this.#release(workload.name, entry, !isDeepStrictEqual(entry.attach, workload.attach));
      entry.state = 'waiting';
      entry.rest = 0;
    }
  }

  /** Once a second. */
  tick(): void {
    for (const failure of this.#native.failures()) {
      const entry = this.#entries.get(failure.workload);
      if (entry?.state === 'attached') this.#lose(failure.workload, entry, failure.detail);
    }
    for (const [name, entry] of this.#entries) {
      if (entry.state === 'attached') this.#checkNamespace(name, entry);
      if (entry.state === 'attached') continue;
      if (entry.rest > 0) entry.rest -= 1;
      else this.#try(name, entry);
    }
  }

  list(): Attachment[] {
    return [...this.#entries].map(([workload, entry]) => ({
      workload,
      state: entry.state,
      ...(entry.detail === undefined ? {} : { detail: entry.detail }),
      ...(entry.mac === undefined ? {} : { mac: entry.mac }),
    }));
  }

  #checkNamespace(name: string, entry: Entry): void {
    const path = entry.attach.kind === 'tap' ? namespacePath(entry.attach.netns) : undefined;
    if (path === undefined) return;
    const now = this.#identify(path);
    if (now === entry.namespace) return;
    const detail = now === undefined ? 'is gone' : 'was deleted and made again';
    this.#lose(name, entry, `the namespace ${path} ${detail}`);
  }

  #lose(name: string, entry: Entry, detail: string): void {
    this.#release(name, entry, false);
    entry.state = 'waiting';
    entry.detail = detail;
    entry.rest = 0;
    delete entry.mac;
    delete entry.namespace;
    this.#log.warn({ workload: name, detail }, 'attachment lost');
  }

  #try(name: string, entry: Entry): void {
    const path = entry.attach.kind === 'tap' ? namespacePath(entry.attach.netns) : undefined;
    const namespace = path === undefined ? undefined : this.#identify(path);
    if (path !== undefined && namespace === undefined) {
      this.#fail(name, entry, 'waiting', `the namespace ${path} does not exist`);
      return;
    }
    try {
      const { mac } = this.#native.attach(name, entry.attach);
      entry.state = 'attached';
      entry.failuresInRow = 0;
      delete entry.detail;
      if (mac !== undefined) entry.mac = mac;
      // A namespace replaced between the look and the attachment is noticed at the next tick.
      if (namespace !== undefined) entry.namespace = namespace;
      this.#log.info(
        { workload: name, attach: entry.attach.kind, device: entry.attach.device, mac },
        'attached',
      );
    } catch (error) {
      this.#fail(
        name,
        entry,
        MISSING.test(`${errorCode(error)} ${errorMessage(error)}`) ? 'waiting' : 'failed',
        errorMessage(error),
      );
    }
  }

  #fail(name: string, entry: Entry, state: 'waiting' | 'failed', detail: string): void {
    const news = entry.state !== state || entry.detail !== detail;
    entry.state = state;
    entry.detail = detail;
    if (state === 'failed') {
      entry.rest = Math.min(2 ** entry.failuresInRow, MOST_REST_TICKS);
      entry.failuresInRow += 1;
    } else {
      entry.failuresInRow = 0;
    }
    if (news)
      this.#log.warn(
        { workload: name, detail },
        state === 'waiting' ? 'attachment waits' : 'attachment failed',
      );
  }

  #release(name: string, entry: Entry, remove: boolean): void {
    if (entry.state !== 'attached') return;
    try {
      this.#native.detach(name, remove && entry.attach.kind === 'tap');
      if (remove) this.#log.info({ workload: name, device: entry.attach.device }, 'detached');
    } catch (error) {
      this.#log.warn({ workload: name, detail: errorMessage(error) }, 'detaching failed');
    }
  }
}

function isSameAs(entry: Entry, workload: EngineWorkload): boolean {
  return entry.segment === workload.segment && isDeepStrictEqual(entry.attach, workload.attach);
}

export function identifyNamespace(path: string): string | undefined {
  try {
    // Asked for every workload once a second: one that is not there must not cost an exception.
    const status = statSync(path, { bigint: true, throwIfNoEntry: false });
    return status && `${status.dev}:${status.ino}`;
  } catch {
    return undefined;
  }
}
