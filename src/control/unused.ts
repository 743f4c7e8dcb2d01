// Rules that nothing has hit for a while, and for how long that can be said: hits are counted in the engine, so from its
// start, and for a rule from when it came into force.
import type { Document } from '../documents/index.js';
import { PROTOCOL_VERSION, type Stats } from '../engine/messages.js';
import { ruleIds } from '../policy/index.js';
import type { UnusedResult } from './api.js';
import type { Control } from './control.js';
import { rules } from './views.js';

/** `seconds`: for how long nothing must have hit them. Needs an engine. */
export async function unusedRules(control: Control, seconds: number): Promise<UnusedResult> {
  const { uptime } = await control.ask('hello', { protocol: PROTOCOL_VERSION });
  const lastHits = lastHitsOf(await control.ask('stats', {}));
  const counted = Math.min(uptime, seconds);
  const old = await rulesInForce(control, Date.now() - counted * 1000);
  const unused = (await rules(control)).flatMap((rule) => {
    const lastHit = lastHits.get(rule.id);
    if (lastHit !== undefined && lastHit < seconds) return [];
    return [{ ...rule, ...(lastHit !== undefined && { lastHit }), isNew: !old.has(rule.id) }];
  });
  return { counted, rules: unused };
}

/** Seconds since the last hit of each rule that was hit at all. */
function lastHitsOf({ hits }: Stats): Map<string, number> {
  const last = new Map<string, number>();
  for (const { rule, idle } of hits) {
    if (rule !== undefined) last.set(rule, Math.min(idle, last.get(rule) ?? Infinity));
  }
  return last;
}

/** The rules that were in force at a time, as far as the store remembers, and in all revisions since. */
async function rulesInForce(control: Control, time: number): Promise<Set<string>> {
  const revisions = await control.revisions();
  const first = revisions.findIndex((revision) => Date.parse(revision.time) <= time);
  if (first < 0) return new Set();
  let ids: Set<string> | undefined;
  for (const { number } of revisions.slice(0, first + 1).reverse()) {
    const { documents } = await control.revision(number);
    const there = new Set((documents as Document[]).flatMap(idsOf));
    ids = ids ? new Set([...ids].filter((id) => there.has(id))) : there;
  }
  return ids ?? new Set();
}

/** What the store holds was checked when it was committed. */
function idsOf(document: Document): string[] {
  return document.kind === 'SecurityPolicy' ? ruleIds(document) : [];
}
