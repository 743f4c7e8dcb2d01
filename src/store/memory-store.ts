// A store that forgets: for tests, and for hosts whose documents all come from conf.d.
import { HeadgateError } from '../shared/errors.js';
import {
  REVISIONS_KEPT,
  summarize,
  type Loaded,
  type Revision,
  type RevisionSummary,
  type Store,
} from './store.js';

export class MemoryStore implements Store {
  #revisions: Revision[] = [];
  #last = 0;

  load(): Promise<Loaded> {
    const newest = this.#revisions.at(-1);
    return Promise.resolve(
      newest === undefined ? { problems: [] } : { revision: structuredClone(newest), problems: [] },
    );
  }

  commit(cause: string, documents: readonly unknown[], time = new Date()): Promise<Revision> {
    this.#last += 1;
    const revision = {
      number: this.#last,
      time: time.toISOString(),
      cause,
      documents: structuredClone([...documents]),
    };
    this.#revisions.push(revision);
    this.#revisions = this.#revisions.slice(-REVISIONS_KEPT);
    return Promise.resolve(structuredClone(revision));
  }

  list(): Promise<RevisionSummary[]> {
    return Promise.resolve(this.#revisions.map(summarize).reverse());
  }

  read(number: number): Promise<Revision> {
    const found = this.#revisions.find((revision) => revision.number === number);
    if (found !== undefined) return Promise.resolve(structuredClone(found));
    return Promise.reject(
      new HeadgateError('revision-unknown', `There is no revision ${number}.`, {
        remedy: 'headgate get revisions lists them.',
      }),
    );
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
