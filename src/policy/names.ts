// Names that stay the same across edits: rule ids, content digests.
import * as crypto from 'node:crypto';
import { createHash } from 'node:crypto';
import type { Rule, SecurityPolicyDocument } from '../documents/index.js';

/** JSON with sorted keys: the same text for the same content. */
export function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  let text = '';
  for (const key of Object.keys(value).sort()) {
    const inner = (value as Record<string, unknown>)[key];
    if (inner !== undefined) text += `${text && ','}${JSON.stringify(key)}:${canonical(inner)}`;
  }
  return `{${text}}`;
}

const texts = new WeakMap<object, string>();

/** `canonical` of a part of a document: that is never changed, so its text is made once. */
export function canonicalOf(part: object): string {
  let text = texts.get(part);
  if (text === undefined) texts.set(part, (text = canonical(part)));
  return text;
}

/** 96 bits of SHA-256 as 16 characters: names content. */
export function digest(text: string): string {
  return sha256(text, 'base64url').slice(0, 16);
}

/** Names a text: itself where it is no longer than `2001:db8:666b:82::/64`, else its digest. */
export function nameOf(text: string): string {
  return text !== '' && text.length <= 24 ? text : digest(text);
}

/** In one call, where Node has that (from 20.12 on): documents come to hundreds of thousands of digests. */
const sha256: (text: string, encoding: 'base64url' | 'hex') => string =
  'hash' in crypto
    ? (text, encoding) => crypto.hash('sha256', text, encoding)
    : (text, encoding) => createHash('sha256').update(text).digest(encoding);

/**
 * The id of each rule of a policy, in order: `policy/name`, or for an unnamed rule `policy/` and six hex digits
 * of its content. Where that is taken already (an equal rule, or a coincidence) `-2`, `-3` ... follows.
 */
export function ruleIds(policy: SecurityPolicyDocument): string[] {
  const taken = new Set(policy.spec.rules.flatMap((rule) => rule.name ?? []));
  return policy.spec.rules.map((rule) => {
    const base = rule.name ?? contentName(rule);
    let name = base;
    if (rule.name === undefined) {
      for (let i = 2; taken.has(name); i++) name = `${base}-${i}`;
      taken.add(name);
    }
    return `${policy.metadata.name}/${name}`;
  });
}

function contentName(rule: Rule): string {
  return sha256(canonical(rule), 'hex').slice(0, 6);
}
