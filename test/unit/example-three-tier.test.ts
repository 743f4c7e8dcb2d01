// The example says what its README and comments say it does.
import { describe, expect, test } from 'vitest';
import { formatError, loadPaths } from '../../src/documents/index.js';
import { check, evaluateFlow } from '../../src/policy/index.js';

const { documents, errors } = await loadPaths(['examples/three-tier']);
const WORKLOADS = ['client-1', 'web-1', 'web-2', 'app-1', 'db-1'];
const PROBES = [
  { name: 'tcp 80', protocol: 6, destinationPort: 80 },
  { name: 'tcp 443', protocol: 6, destinationPort: 443 },
  { name: 'tcp 8080', protocol: 6, destinationPort: 8080 },
  { name: 'tcp 5432', protocol: 6, destinationPort: 5432 },
  { name: 'udp 5353', protocol: 17, destinationPort: 5353 },
  { name: 'udp 53', protocol: 17, destinationPort: 53 },
];
const tier = (workload: string) => workload.replace(/-\d$/, '');

/** Every pair of tiers that may talk; all others are dropped, web to db is rejected. */
const ALLOWED: Record<string, string[]> = {
  'client web': ['tcp 80', 'tcp 443', 'ping'],
  'web app': ['tcp 8080'],
  'app db': ['tcp 5432', 'udp 5353', 'ping'],
};

test('it reads and checks without a word', () => {
  const checked = check(documents);
  expect([...errors, ...checked.errors, ...checked.warnings].map(formatError)).toEqual([]);
});

describe.each([4, 6] as const)('IPv%i', (family) => {
  const ping =
    family === 4 ? { name: 'ping', protocol: 1, icmpType: 8 } : { name: 'ping', protocol: 58, icmpType: 128 };
  const pairs = WORKLOADS.flatMap((from) =>
    WORKLOADS.filter((to) => to !== from).map((to) => [from, to] as const),
  );
  test.each(pairs)('%s to %s', (from, to) => {
    const pair = `${tier(from)} ${tier(to)}`;
    for (const { name, ...probe } of [...PROBES, ping]) {
      const { action, decisions } = evaluateFlow(documents, { from, to, family, ...probe });
      const expected = pair === 'web db' ? 'reject' : ALLOWED[pair]?.includes(name) ? 'allow' : 'drop';
      expect(`${name}: ${action}`).toBe(`${name}: ${expected}`);
      if (expected === 'drop') expect(decisions[0]?.section?.text).toBe('Host/three-tier spec.default');
      if (pair === 'client app' && name === 'tcp 8080')
        expect(decisions[1]?.observed[0]?.id).toBe('shop/clients-to-api');
    }
  });
});
