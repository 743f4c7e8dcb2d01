// SecurityPolicy: ordered rules, the category and priority they are judged in, and the workloads they apply to.
import { z } from 'zod';
import { HELPERS, TRACKING_MODES, timeoutsSchema } from '../engine/messages.js';
import { fields, name, number, oneOf, ruleName, stringOr } from './fields.js';
import { appliedToSchema, ruleSelectionSchema } from './selection.js';
import { serviceEntrySchema } from './service.js';

/** In the order in which they are judged. */
export const CATEGORIES = ['emergency', 'infrastructure', 'environment', 'application'] as const;

const mode = oneOf('mode', ['enforce', 'observe']);

export const ruleSchema = fields({
  name: ruleName.optional(),
  /** Seen from the workload that the rule applies to: `in` is towards it. Absent: both. */
  direction: oneOf('direction', ['in', 'out', 'both']).optional(),
  /** Absent: any source. */
  from: ruleSelectionSchema.optional(),
  /** Absent: any destination. */
  to: ruleSelectionSchema.optional(),
  /** Names of Services, or entries as a Service has them. Absent: any. */
  services: z
    .array(stringOr(name, serviceEntrySchema))
    .min(1, { error: () => 'the list is empty: leave it out for any service' })
    .max(1000)
    .optional(),
  action: oneOf('action', ['allow', 'drop', 'reject', 'pass']),
  /** Narrows the policy's own appliedTo. */
  appliedTo: appliedToSchema.optional(),
  log: z.boolean().optional(),
  /** `observe`: counted and logged, then matching goes on. Absent: the policy's. */
  mode: mode.optional(),
  /** What an edit of the rule does to live connections. */
  onChange: oneOf('onChange', ['reevaluate', 'keep', 'reset']).optional(),
  /** Whose data connections are let through beside the connections that the rule allows. Absent: nobody's. */
  helper: oneOf('helper', HELPERS).optional(),
});

export const securityPolicySpecSchema = fields({
  category: oneOf('category', CATEGORIES).optional(),
  /** Lower comes first; policies of the same priority are judged by name. */
  priority: number('a priority', 0, 1_000_000).optional(),
  /** Absent: all workloads. */
  appliedTo: appliedToSchema.optional(),
  mode: mode.optional(),
  /** How connections are followed that its rules decide over; absent ones are the Host's. */
  tracking: oneOf('tracking', TRACKING_MODES).optional(),
  timeouts: fields(timeoutsSchema.shape).optional(),
  rules: z.array(ruleSchema).max(100_000),
}).superRefine(({ rules }, context) => {
  const seen = new Set<string>();
  for (const [i, rule] of rules.entries()) {
    if (rule.helper !== undefined && rule.action !== 'allow') {
      const message = `a rule with the action ${rule.action} has no data connections: leave it out`;
      context.addIssue({ code: 'custom', message, path: ['rules', i, 'helper'] });
    }
    if (rule.name === undefined) continue;
    if (seen.has(rule.name)) {
      const message = `duplicate rule "${rule.name}": rules of a policy need names of their own`;
      context.addIssue({ code: 'custom', message, path: ['rules', i, 'name'] });
    }
    seen.add(rule.name);
  }
});

export type Category = (typeof CATEGORIES)[number];
export type Rule = z.infer<typeof ruleSchema>;
export type SecurityPolicySpec = z.infer<typeof securityPolicySpecSchema>;

/** Absent category and priority. */
export const DEFAULT_CATEGORY: Category = 'application';
export const DEFAULT_PRIORITY = 1000;
