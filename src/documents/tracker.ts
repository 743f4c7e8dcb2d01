// Tracker: connections that several segments and edge pairs have in common, and the place where flows across edge pairs
// are judged.
import { z } from 'zod';
import { fields } from './fields.js';
import { limits } from './limits.js';

export const trackerSpecSchema = fields({
  /** What flows across edge pairs may begin, over what the Host says. */
  limits: limits.optional(),
});

export type TrackerSpec = z.infer<typeof trackerSpecSchema>;

/** How a tracker is called among what has rules of its own: no workload can be called so. */
export function trackerPlace(tracker: string): string {
  return `tracker:${tracker}`;
}
