import { describe, expect, test } from 'vitest';
import type { Document } from '../../src/documents/index.js';
import { isEmpty, plan } from '../../src/policy/index.js';
import { make, workload } from './document-helpers.js';

const lan = make('Segment', 'lan', {});
const web = workload('web-1', ['10.0.0.11/24'], { tier: 'web' });
const policy = (...rules: unknown[]) => make('SecurityPolicy', 'p', { rules });
const allow = { name: 'a', action: 'allow' };
const drop = { name: 'd', action: 'drop' };

describe('plan', () => {
  test('nothing changed, even when it moved to another place', () => {
    const moved = { ...lan, origin: { file: 'elsewhere.yaml', line: 9 } } as Document;
    const result = plan([lan, web], [web, moved]);
    expect(result).toMatchObject({ changes: [], unchanged: 2 });
    expect(isEmpty(result.delta)).toBe(true);
  });
  test('added, changed and removed documents, by kind and name', () => {
    const result = plan([lan, web, policy(allow)], [lan, policy(drop), workload('web-2', ['10.0.0.12/24'])]);
    expect(result.changes.map(({ change, kind, name }) => [change, kind, name])).toEqual([
      ['removed', 'Workload', 'web-1'],
      ['added', 'Workload', 'web-2'],
      ['changed', 'SecurityPolicy', 'p'],
    ]);
    expect(result.counts).toEqual({
      rulesAdded: 1,
      rulesChanged: 0,
      rulesRemoved: 1,
      workloadsTouched: 2,
      addressSetsTouched: 0,
    });
  });
  test('fields by path', () => {
    const changed = workload('web-1', ['10.0.0.11/24', '10.0.0.12/24'], { tier: 'app', zone: 'a' });
    expect(plan([lan, web], [lan, changed]).changes[0]?.fields).toEqual([
      { path: 'metadata.labels.tier', before: 'web', after: 'app' },
      { path: 'metadata.labels.zone', after: 'a' },
      {
        path: 'spec.attach.tap.addresses',
        before: ['10.0.0.11/24'],
        after: ['10.0.0.11/24', '10.0.0.12/24'],
      },
    ]);
  });
  test('rules by name: an inserted rule is one change, a new order another', () => {
    const extra = { name: 'x', action: 'reject', log: true };
    const fields = (before: Document, after: Document) => plan([before], [after]).changes[0]?.fields;
    expect(fields(policy(allow, drop), policy(extra, allow, drop))).toEqual([
      { path: 'spec.rules[x]', after: extra },
    ]);
    expect(fields(policy(allow, drop), policy(allow))).toEqual([{ path: 'spec.rules[d]', before: drop }]);
    expect(fields(policy(allow, drop), policy(drop, allow))).toEqual([
      { path: 'spec.rules (order)', before: ['a', 'd'], after: ['d', 'a'] },
    ]);
    expect(fields(policy(allow), policy({ ...allow, log: true }))).toEqual([
      { path: 'spec.rules[a].log', after: true },
    ]);
  });
});
