// Checking what has changed finds what checking everything finds, also after a set with errors.
import { expect, test } from 'vitest';
import { check, examine, type Examined } from '../../src/policy/index.js';
import { histories } from './histories.js';
import { holds } from './random.js';

test('examined onward and anew, documents have the same errors and warnings', () => {
  const tally = { onward: 0, errors: 0, warnings: 0 };
  const any = histories(['SecurityPolicy', 'Workload', 'Group', 'Service', 'Segment']);
  holds('policy-examine.test.ts', any, 300, (history) => {
    let inForce: Examined | undefined;
    for (const documents of history) {
      const examined = examine(documents, inForce);
      const { errors, warnings } = check(documents);
      expect(examined.errors).toEqual(errors);
      expect(examined.warnings).toEqual(warnings);
      if (inForce && examined.attachments === inForce.attachments) tally.onward++;
      tally.errors += Math.min(1, errors.length);
      tally.warnings += Math.min(1, warnings.length);
      if (errors.length === 0) inForce = examined;
    }
  });
  // What is compared must have happened.
  for (const [what, count] of Object.entries(tally)) expect(`${what} ${count > 5}`).toBe(`${what} true`);
});
