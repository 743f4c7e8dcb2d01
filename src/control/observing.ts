// What is not enforced: rules that observe, what they would have done, and a policy that is not in force at all.
import type { Desired } from '../policy/index.js';
import type { ObservedResult } from './api.js';
import type { Control } from './control.js';
import { stats } from './views.js';

interface Observing {
  rules: number;
  /** Names of the policies that they stand in. */
  policies: string[];
}

/** Asked for with every answer, and the same until the policy changes. */
const known = new WeakMap<Desired, Observing>();

function observing(desired: Desired): Observing {
  const found = known.get(desired);
  if (found !== undefined) return found;
  const counts = [...desired.policies].map(([name, { policy }]) => ({
    name,
    rules: policy.rules.filter(({ content }) => content.mode === 'observe').length,
  }));
  const policies = counts.filter(({ rules }) => rules > 0);
  const result = {
    rules: policies.reduce((sum, { rules }) => sum + rules, 0),
    policies: policies.map(({ name }) => name).sort(),
  };
  known.set(desired, result);
  return result;
}

const MOST_NAMED = 3;

/** One line for people; undefined while all is enforced. */
export function unenforced(control: Pick<Control, 'lowered' | 'status'>): string | undefined {
  const { ready, fault } = control.status();
  const { rules, policies } = observing(control.lowered.desired);
  const named = policies.slice(0, MOST_NAMED).join(', ');
  const more = policies.length > MOST_NAMED ? ` and ${policies.length - MOST_NAMED} more` : '';
  const parts = [
    ...(ready ? [] : [`the policy is not in force: ${fault ?? 'no reason given'}`]),
    ...(rules === 0
      ? []
      : [
          `${rules} ${rules === 1 ? 'rule observes' : 'rules observe'} only (${named}${more}): see headgate get observed`,
        ]),
  ];
  return parts.length === 0 ? undefined : parts.join('; ');
}

/** What rules in observe mode matched, by workload; needs an engine. */
export async function observed(control: Control): Promise<ObservedResult> {
  const { desired, report } = control.lowered;
  const { hits } = await stats(control);
  const found = hits.flatMap((hit) => {
    const reference = report.rule(hit.rule);
    if (reference?.mode !== 'observe') return [];
    const { action, file, line } = reference;
    return [{ ...hit, action, file, line }];
  });
  found.sort((a, b) => (a.workload < b.workload ? -1 : a.workload > b.workload ? 1 : b.flows - a.flows));
  return { ...observing(desired), hits: found };
}
