// Writes what rules with `log: true` saw: one line of the log for each event that the engine's rate limit lets pass.
//
// The engine gathers events; control takes them, four times a second while a rule logs, else every five seconds for
// what rules that were just edited still left behind.
import { protocolName } from '../documents/index.js';
import type { LogEvent } from '../engine/messages.js';
import type { Logger } from '../observe/logger.js';
import { errorMessage } from '../shared/errors.js';
import type { Control } from './control.js';
import { DEFAULT_RULE } from './views.js';

const BUSY_MILLISECONDS = 250;
const IDLE_MILLISECONDS = 5_000;

export class RuleLog {
  readonly #control: Pick<Control, 'ask' | 'lowered' | 'status'>;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(control: Pick<Control, 'ask' | 'lowered' | 'status'>, log: Logger) {
    this.#control = control;
    this.#log = log;
  }

  start(): void {
    this.#timer = setTimeout(() => void this.#turn(), BUSY_MILLISECONDS);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #turn(): Promise<void> {
    try {
      if (this.#control.status().engine !== undefined) {
        for (const event of await this.#control.ask('logs', {})) this.#write(event);
      }
    } catch (error) {
      this.#log.debug({ detail: errorMessage(error) }, 'rule events could not be taken');
    }
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#turn(), this.#pause());
  }

  #pause(): number {
    const policies = [...this.#control.lowered.desired.policies.values()];
    const logs = policies.some(({ policy }) => policy.rules.some(({ content }) => content.log));
    return logs ? BUSY_MILLISECONDS : IDLE_MILLISECONDS;
  }

  #write(event: LogEvent): void {
    this.#log.info(
      {
        at: new Date(event.time).toISOString(),
        rule: event.rule ?? DEFAULT_RULE,
        workload: event.workload,
        direction: event.direction,
        action: event.action,
        mode: event.mode,
        protocol: protocolName(event.protocol),
        source: event.source,
        sourcePort: event.sourcePort,
        destination: event.destination,
        destinationPort: event.destinationPort,
        suppressed: event.suppressed,
      },
      'rule',
    );
  }
}
