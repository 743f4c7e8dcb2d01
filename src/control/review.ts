// What a plan says beyond its changes: what the rules are good for, and which connections the edit would end. Both are
// looked for in slices, so that others are answered meanwhile, and for a limited time.
import {
  findEnded,
  findQuality,
  type Desired,
  type EndedConnections,
  type Quality,
} from '../policy/index.js';
import type { PlanResult } from './api.js';
import type { Control } from './control.js';
import { ifThere } from './views.js';

const QUALITY_MILLISECONDS = 4000;
const FLOWS_MILLISECONDS = 2000;
const MOST_FLOWS = 100_000;

export interface Review {
  quality: Quality;
  /** Absent without an engine. */
  connections?: EndedConnections;
}

/** The policies that change are looked at first. */
export async function review(
  control: Control,
  { changes }: PlanResult,
  { before, after }: { before: Desired; after: Desired },
): Promise<Review> {
  const changed = changes.filter(({ kind }) => kind === 'SecurityPolicy').map(({ name }) => name);
  const quality = await inSlices(
    (timeIsUp) => findQuality(after, new Set(changed), timeIsUp),
    QUALITY_MILLISECONDS,
  );
  const flows = await ifThere(control.ask('flows', { limit: MOST_FLOWS, denied: false }));
  if (flows === undefined) return { quality };
  const connections = await inSlices(
    (timeIsUp) => findEnded(before, after, flows, timeIsUp),
    FLOWS_MILLISECONDS,
  );
  return { quality, connections };
}

async function inSlices<T>(
  start: (timeIsUp: () => boolean) => Generator<undefined, T>,
  milliseconds: number,
): Promise<T> {
  const end = performance.now() + milliseconds;
  const work = start(() => performance.now() > end);
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
