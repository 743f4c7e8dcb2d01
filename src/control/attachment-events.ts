// Says when workloads are attached, lost, or fail: the engine is asked every two seconds how they are attached. What
// changes back in between is not noticed.
import type { Attachment } from '../engine/messages.js';
import type { Control } from './control.js';
import type { Events } from './events.js';

const PAUSE_MILLISECONDS = 2_000;

export class AttachmentEvents {
  readonly #control: Pick<Control, 'ask' | 'status'>;
  readonly #events: Events;
  readonly #pause: number;
  #known = new Map<string, Attachment>();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(control: Pick<Control, 'ask' | 'status'>, events: Events, pause = PAUSE_MILLISECONDS) {
    this.#control = control;
    this.#events = events;
    this.#pause = pause;
  }

  start(): void {
    this.#timer = setTimeout(() => void this.#turn(), this.#pause);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #turn(): Promise<void> {
    try {
      // An engine that has no policy yet knows no workloads.
      if (this.#control.status().ready) this.#compare(await this.#control.ask('attachments', {}));
    } catch {
      // The engine went: what it said last is compared with what the next one says.
    }
    if (!this.#stopped) this.start();
  }

  #compare(attachments: readonly Attachment[]): void {
    const now = new Map(attachments.map((one) => [one.workload, one]));
    for (const [workload, one] of now) this.#told(workload, this.#known.get(workload), one);
    for (const workload of this.#known.keys())
      if (!now.has(workload)) this.#events.add('workload', `${workload} was removed`, { workload });
    this.#known = now;
  }

  #told(workload: string, before: Attachment | undefined, { state, detail }: Attachment): void {
    if (before?.state === state && (state === 'attached' || before.detail === detail)) return;
    const why = detail === undefined ? '' : `: ${detail}`;
    const lost = before?.state === 'attached';
    const what =
      state === 'attached'
        ? 'is attached'
        : lost
          ? `was lost${why}`
          : state === 'failed'
            ? `failed${why}`
            : `waits${why}`;
    this.#events.add('workload', `${workload} ${what}`, { workload });
  }
}
