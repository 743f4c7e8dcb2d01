// From observe to enforce: a policy, or one rule of it, as it is when it is promoted.
import { ofKind, type Document, type SecurityPolicyDocument } from '../documents/index.js';
import { ruleIds } from '../policy/index.js';
import { HeadgateError } from '../shared/errors.js';

/** `name`: a policy, or policy/rule. Throws `not-found`, or `nothing-to-promote` when it observes nothing. */
export function promoted(documents: readonly Document[], name: string): SecurityPolicyDocument {
  const [policyName] = name.split('/', 1);
  const policy = ofKind(documents, 'SecurityPolicy').find(({ metadata }) => metadata.name === policyName);
  if (policy === undefined) throw unknown(`policy named ${policyName ?? ''}`);
  const after = policyName === name ? wholePolicy(policy) : oneRule(policy, name);
  if (after !== undefined) return after;
  throw new HeadgateError('nothing-to-promote', `${name} observes nothing: it is enforced already.`, {
    remedy: 'headgate get observed says what observes.',
  });
}

function wholePolicy(policy: SecurityPolicyDocument): SecurityPolicyDocument | undefined {
  const { mode, ...spec } = policy.spec;
  const isObserving = mode === 'observe' || spec.rules.some((rule) => rule.mode === 'observe');
  if (!isObserving) return undefined;
  const rules = spec.rules.map((rule) => (rule.mode === 'observe' ? withoutMode(rule) : rule));
  return { ...policy, spec: { ...spec, rules } };
}

function oneRule(policy: SecurityPolicyDocument, id: string): SecurityPolicyDocument | undefined {
  const { spec } = policy;
  const place = ruleIds(policy).indexOf(id);
  const rule = spec.rules[place];
  if (rule === undefined) throw unknown(`rule ${id}`);
  if ((rule.mode ?? spec.mode) !== 'observe') return undefined;
  const enforced = spec.mode === 'observe' ? { ...rule, mode: 'enforce' as const } : withoutMode(rule);
  return { ...policy, spec: { ...spec, rules: spec.rules.with(place, enforced) } };
}

type Rule = SecurityPolicyDocument['spec']['rules'][number];

function withoutMode({ mode: _, ...rule }: Rule): Rule {
  return rule;
}

function unknown(what: string): HeadgateError {
  return new HeadgateError('not-found', `There is no ${what}.`, {
    remedy: 'headgate get rules lists policies and their rules.',
  });
}
