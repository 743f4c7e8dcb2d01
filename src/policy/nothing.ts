// Warns about selections that find nothing, which nobody writes on purpose.
import type { Find } from './check.js';
import type { Desired, LoweredPolicy } from './types.js';

export function warnAboutNothing(policy: LoweredPolicy, { scopes, addressSets }: Desired, warn: Find): void {
  const isEmpty = (sets: string[] | undefined) =>
    sets?.every((name) => addressSets.get(name)?.addresses.ranges.length === 0);
  for (const [i, { reference, content, entry }] of policy.rules.entries()) {
    const tell = (field: string, message: string) =>
      warn(policy.document, `spec.rules[${i}]${field}`, `rule ${reference.id} ${message}`, reference.line);
    if (scopes.get(entry.scope)?.workloads.size === 0) tell('.appliedTo', 'applies to no workload');
    if (isEmpty(content.sources)) tell('.from', 'matches nothing: what `from` selects has no addresses');
    if (isEmpty(content.destinations)) tell('.to', 'matches nothing: what `to` selects has no addresses');
  }
}
