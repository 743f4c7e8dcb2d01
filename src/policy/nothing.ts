// Warns about selections that find nothing, which nobody writes on purpose.
import type { Find } from './check.js';
import type { Desired, LoweredPolicy } from './types.js';

export function warnAboutNothing(policy: LoweredPolicy, { scopes, addressSets }: Desired, warn: Find): void {
  const isEmptySet = (name: string) => addressSets.get(name)?.addresses.ranges.length === 0;
  const isEmptyScope = (name: string) => scopes.get(name)?.workloads.size === 0;
  const findsAll = (names: Iterable<string>, isEmpty: (name: string) => boolean) => {
    for (const name of names) if (isEmpty(name)) return false;
    return true;
  };
  if (findsAll(policy.addressSets.keys(), isEmptySet) && findsAll(policy.scopes.keys(), isEmptyScope)) return;
  const isEmpty = (sets: string[] | undefined) => sets?.every(isEmptySet);
  for (const [i, { reference, content, entry }] of policy.rules.entries()) {
    const tell = (field: string, message: string) =>
      warn(policy.document, `spec.rules[${i}]${field}`, `rule ${reference.id} ${message}`, reference.line);
    if (isEmptyScope(entry.scope))
      tell('.appliedTo', 'applies to no workload and to no tracker of an edge pair');
    if (isEmpty(content.sources)) tell('.from', 'matches nothing: what `from` selects has no addresses');
    if (isEmpty(content.destinations)) tell('.to', 'matches nothing: what `to` selects has no addresses');
  }
}
