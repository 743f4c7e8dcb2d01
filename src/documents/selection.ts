// A selection: the one way to say "these": in groups, in a rule's `from` and `to`, and in `appliedTo`.
//
// It is a union: what `workloads` selects, what `addresses` lists, and what `groups` hold, without what `except` selects
// in the same way. Inside `workloads` all that is given must hold (Kubernetes' label selector, and names);
// `workloads: {}` is every workload. `appliedTo` also knows `trackers`, which are selected as workloads are.
import { z } from 'zod';
import { addressRange, fields, labelKey, labels, labelValue, MAX_ADDRESSES, name, oneOf } from './fields.js';

const expression = fields({
  key: labelKey,
  operator: oneOf('operator', ['In', 'NotIn', 'Exists', 'DoesNotExist']),
  values: z.array(labelValue).max(1000).optional(),
}).superRefine(({ operator, values }, context) => {
  const needsValues = operator === 'In' || operator === 'NotIn';
  if (needsValues && !values?.length) {
    context.addIssue({
      code: 'custom',
      message: `operator ${operator} needs values: add a list`,
      path: ['operator'],
    });
  }
  if (!needsValues && values !== undefined) {
    context.addIssue({
      code: 'custom',
      message: `operator ${operator} takes no values: remove them`,
      path: ['values'],
    });
  }
});

export const workloadSelectorSchema = fields({
  matchLabels: labels.optional(),
  matchExpressions: z.array(expression).max(100).optional(),
  names: z.array(name).max(100_000).optional(),
});

const parts = {
  workloads: workloadSelectorSchema.optional(),
  addresses: z.array(addressRange).max(MAX_ADDRESSES).optional(),
  groups: z.array(name).max(10_000).optional(),
};
const placeParts = {
  workloads: parts.workloads,
  trackers: workloadSelectorSchema.optional(),
  groups: parts.groups,
};

/** An empty map is refused: it selects nothing, but reads as if it meant any. */
function notEmpty<S extends z.ZodObject>(schema: S, message: string) {
  return schema.superRefine((value, context) => {
    if (Object.keys(value).length === 0) context.addIssue({ code: 'custom', message });
  });
}

/** `except` takes away from something: alone it would read as "all but these", and select nothing. */
function exceptOfSomething<S extends z.ZodObject>(schema: S) {
  return schema.superRefine((value, context) => {
    if (Object.keys(value).join() !== 'except') return;
    const message = 'takes away from nothing: say beside it of what, such as workloads: {} for all workloads';
    context.addIssue({ code: 'custom', message, path: ['except'] });
  });
}

export const exceptSchema = notEmpty(
  fields(parts),
  'is empty: give workloads, addresses or groups, or remove it',
);
const exceptPlaces = notEmpty(
  fields(placeParts),
  'is empty: give workloads, trackers or groups, or remove it',
);

/** What a group holds; it may be empty and then matches nothing. */
export const selectionSchema = exceptOfSomething(fields({ ...parts, except: exceptSchema.optional() }));

export const ruleSelectionSchema = notEmpty(
  selectionSchema,
  'selects nothing: give workloads, addresses or groups, or leave the field out for any',
);

/** Where rules are applied: workloads, by themselves or through groups, and trackers. */
export const appliedToSchema = notEmpty(
  exceptOfSomething(fields({ ...placeParts, except: exceptPlaces.optional() })),
  'selects nothing: give workloads, trackers or groups, or leave the field out for all of them',
);

export type WorkloadSelector = z.infer<typeof workloadSelectorSchema>;
export type Selection = z.infer<typeof selectionSchema>;
export type AppliedTo = z.infer<typeof appliedToSchema>;

/** Whether a workload, or tracker, with this name and these labels is selected. */
export function selects(
  selector: WorkloadSelector,
  workload: string,
  labels: Record<string, string>,
): boolean {
  if (selector.names && !selector.names.includes(workload)) return false;
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    if (!Object.hasOwn(labels, key) || labels[key] !== value) return false;
  }
  return (selector.matchExpressions ?? []).every(({ key, operator, values }) => {
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
    if (operator === 'Exists') return value !== undefined;
    if (operator === 'DoesNotExist') return value === undefined;
    const listed = value !== undefined && (values ?? []).includes(value);
    return operator === 'In' ? listed : !listed;
  });
}
