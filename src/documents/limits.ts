// Limits of what a workload may begin, as Host and Workload documents say them.
import { limitsSchema } from '../engine/messages.js';
import { fields } from './fields.js';

export const limits = fields(limitsSchema.shape).superRefine(({ connections, halfOpen }, context) => {
  if (connections === undefined || halfOpen === undefined || halfOpen <= connections) return;
  context.addIssue({
    code: 'custom',
    message: `halfOpen is more than connections, ${connections}, of which they are a part: lower it, or leave it out`,
    path: ['halfOpen'],
  });
});
