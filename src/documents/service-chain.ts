// ServiceChain: several portals in a row. Replies take them in the opposite order.
import { z } from 'zod';
import { fields, name } from './fields.js';

export const serviceChainSpecSchema = fields({
  portals: z
    .array(name)
    .min(1, { error: () => 'the list is empty: give at least one portal' })
    .max(8, { error: () => 'has more than 8 portals: shorten it' }),
}).superRefine(({ portals }, context) => {
  const seen = new Set<string>();
  for (const [i, portal] of portals.entries()) {
    if (seen.has(portal))
      context.addIssue({
        code: 'custom',
        message: `portal "${portal}" stands in it twice, so frames would go round: name it once`,
        path: ['portals', i],
      });
    seen.add(portal);
  }
});

export type ServiceChainSpec = z.infer<typeof serviceChainSpecSchema>;
