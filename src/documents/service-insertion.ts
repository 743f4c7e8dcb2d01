// ServiceInsertion: which of a client's traffic goes through which service, and which way. Its rules match as those of a
// SecurityPolicy do; the first that matches a flow at one of its ends decides. The firewall decides before, and apart.
import { z } from 'zod';
import { fields, name, number, oneOf, ruleName, stringOr } from './fields.js';
import { appliedToSchema, ruleSelectionSchema } from './selection.js';
import { serviceEntrySchema } from './service.js';

const insertionRuleSchema = fields({
  name: ruleName.optional(),
  /** Seen from the workload that the rule applies to. Absent: both. */
  direction: oneOf('direction', ['in', 'out', 'both']).optional(),
  from: ruleSelectionSchema.optional(),
  to: ruleSelectionSchema.optional(),
  /** Names of Services, or entries as a Service has them. Absent: any. */
  services: z
    .array(stringOr(name, serviceEntrySchema))
    .min(1, { error: () => 'the list is empty: leave it out for any service' })
    .max(1000)
    .optional(),
  /** The service that flows go through: there is a ServiceTag for it and the client. */
  through: name,
  /** Narrows the document's own appliedTo. */
  appliedTo: appliedToSchema.optional(),
});

export const serviceInsertionSpecSchema = fields({
  /** The Segment whose workloads it is for. */
  client: name,
  /** Lower comes first; of the same priority by name. */
  priority: number('a priority', 0, 1_000_000).optional(),
  /** Absent: all workloads of the segment. */
  appliedTo: appliedToSchema.optional(),
  /** The ServicePortal that leads to the gateway. Absent: straight to the tag's portals, which are then reached from here. */
  via: name.optional(),
  rules: z.array(insertionRuleSchema).max(10_000),
}).superRefine(({ rules }, context) => {
  const seen = new Set<string>();
  for (const [i, rule] of rules.entries()) {
    if (rule.name === undefined) continue;
    if (seen.has(rule.name)) {
      const message = `duplicate rule "${rule.name}": rules of an insertion need names of their own`;
      context.addIssue({ code: 'custom', message, path: ['rules', i, 'name'] });
    }
    seen.add(rule.name);
  }
});

export type InsertionRule = z.infer<typeof insertionRuleSchema>;
export type ServiceInsertionSpec = z.infer<typeof serviceInsertionSpecSchema>;
