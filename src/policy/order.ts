// The order in which policies are judged: category, then priority (lower first), then name.
import type { Document, SecurityPolicyDocument } from '../documents/index.js';
import { CATEGORIES, ofKind } from '../documents/index.js';
import { DEFAULT_CATEGORY, DEFAULT_PRIORITY } from '../documents/security-policy.js';

/** The category's place: 0 is judged first. */
export function categoryOf(policy: SecurityPolicyDocument): number {
  return CATEGORIES.indexOf(policy.spec.category ?? DEFAULT_CATEGORY);
}

export function orderedPolicies(documents: readonly Document[]): SecurityPolicyDocument[] {
  const priority = (policy: SecurityPolicyDocument) => policy.spec.priority ?? DEFAULT_PRIORITY;
  return ofKind(documents, 'SecurityPolicy').sort(
    (a, b) =>
      categoryOf(a) - categoryOf(b) ||
      priority(a) - priority(b) ||
      (a.metadata.name < b.metadata.name ? -1 : a.metadata.name > b.metadata.name ? 1 : 0),
  );
}
