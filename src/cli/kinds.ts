// What `get` and `delete` understand as a kind: the documents' kinds in any case, singular, plural or short, and the
// views `rules`, `revisions` and `observed`.
import { KINDS, type Kind } from '../documents/types.js';
import { HeadgateError } from '../shared/errors.js';

export type Resource = Kind | 'rules' | 'revisions' | 'observed';

const SHORT: Record<string, Resource> = {
  policy: 'SecurityPolicy',
  policies: 'SecurityPolicy',
  securitypolicies: 'SecurityPolicy',
  rule: 'rules',
  rules: 'rules',
  revision: 'revisions',
  revisions: 'revisions',
  observed: 'observed',
};

/** Throws `usage` for what is no resource. */
export function resourceOf(text: string): Resource {
  const lower = text.toLowerCase();
  const kind = KINDS.find((one) => one.toLowerCase() === lower || `${one.toLowerCase()}s` === lower);
  const found = kind ?? (Object.hasOwn(SHORT, lower) ? SHORT[lower] : undefined);
  if (found !== undefined) return found;
  throw new HeadgateError('usage', `There is no kind '${text}'.`, {
    remedy: `Kinds: ${KINDS.map((one) => one.toLowerCase()).join(', ')}, rules, revisions, observed.`,
  });
}

/** Throws `usage` for what is no kind of document. */
export function kindOf(text: string): Kind {
  const resource = resourceOf(text);
  if (resource !== 'rules' && resource !== 'revisions' && resource !== 'observed') return resource;
  throw new HeadgateError('usage', `${resource} is no kind of document.`, { remedy: NO_DOCUMENTS[resource] });
}

const NO_DOCUMENTS = {
  rules: 'Change the SecurityPolicy that holds the rule and apply it.',
  revisions: 'Old revisions go by themselves.',
  observed: 'headgate promote enforces what observes.',
};
