// What the documents in force say of traced frames. The same question is answered once for each policy, and only as many
// as there is time for: control has others to serve.
import type { Attachment } from '../engine/messages.js';
import type { Trace } from '../engine/trace-messages.js';
import {
  evaluateIn,
  World,
  type Decision,
  type Direction,
  type Lowered,
  type Packet,
} from '../policy/index.js';
import type { Step, TraceAnswer } from '../trace/answer.js';
import { hintFor } from '../trace/hints.js';
import { metricsOf, outcomeOf, packetLine, summaryOf, verdictLine } from '../trace/line.js';
import { Macs } from '../trace/prepare.js';
import { stepsOf, type Explains } from '../trace/steps.js';
import type { Control } from './control.js';
import { ifThere } from './views.js';

/** Answers that are remembered. */
const MOST_DECISIONS = 10_000;

/** Of one policy. */
interface Known {
  world: World;
  decisions: Map<string, Decision>;
}

/** By what a policy was compiled to: gone with it. */
const KNOWN = new WeakMap<Lowered, Known>();

function knownOf(control: Control): Known {
  const known = KNOWN.get(control.lowered) ?? {
    world: new World(control.documents),
    decisions: new Map<string, Decision>(),
  };
  KNOWN.set(control.lowered, known);
  return known;
}

export class Explainer implements Explains {
  readonly world: World;
  readonly macs: Macs;
  readonly #control: Control;
  readonly #decisions: Map<string, Decision>;
  #left: number;

  private constructor(control: Control, attachments: readonly Attachment[], milliseconds: number) {
    const { world, decisions } = knownOf(control);
    this.#control = control;
    this.world = world;
    this.macs = new Macs(world, attachments);
    this.#decisions = decisions;
    this.#left = milliseconds;
  }

  /** `milliseconds`: how long it may ask the policy. */
  static async of(control: Control, milliseconds: number): Promise<Explainer> {
    return new Explainer(control, (await ifThere(control.ask('attachments', {}))) ?? [], milliseconds);
  }

  get host(): Explains['host'] {
    return this.#control.lowered.report.host;
  }

  rule(id: string) {
    return this.#control.lowered.report.rule(id);
  }

  decide(workload: string, direction: Direction, packet: Packet): Decision | undefined {
    const { protocol, source, destination, sourcePort, destinationPort, icmpType, icmpCode } = packet;
    const question = [workload, direction, protocol, source, destination, sourcePort, destinationPort];
    const key = [...question, icmpType, icmpCode].join(' ');
    const known = this.#decisions.get(key);
    if (known !== undefined) return known;
    if (this.#left <= 0 || !this.world.judge(workload)) return undefined;
    const began = performance.now();
    const decision = evaluateIn(this.world, workload, direction, packet);
    this.#left -= performance.now() - began;
    if (this.#decisions.size >= MOST_DECISIONS) this.#decisions.clear();
    this.#decisions.set(key, decision);
    return decision;
  }

  /** Step by step. Lets others be served between two frames. */
  async answers(traces: readonly Trace[]): Promise<TraceAnswer[]> {
    const answers: TraceAnswer[] = [];
    let began = performance.now();
    for (const trace of traces) {
      answers.push(answerTo(trace, stepsOf(trace, this)));
      if (performance.now() - began < 10) continue;
      await new Promise((resolve) => setImmediate(resolve));
      began = performance.now();
    }
    return answers;
  }
}

/** Without steps: what came of it in a line. */
export function answerTo(trace: Trace, steps?: Step[]): TraceAnswer {
  const told = { trace, ...(steps && { steps }) };
  const hint = hintFor(told);
  return {
    time: trace.time,
    packet: packetLine(trace),
    outcome: outcomeOf(trace),
    summary: summaryOf(trace),
    verdict: verdictLine(trace),
    ...(hint === undefined ? {} : { hint }),
    metrics: metricsOf(trace),
    ...told,
  };
}
