// Records of connections to test flow logs with.
import type { FlowRecord } from '../../src/engine/messages.js';

export const flowRecord = (more: Partial<FlowRecord> = {}): FlowRecord => ({
  tracker: 'lan',
  protocol: 6,
  source: '10.0.0.1',
  sourcePort: 40000,
  destination: '10.0.0.2',
  destinationPort: 5432,
  state: 'closing',
  verdicts: [
    { workload: 'web', direction: 'out', action: 'allow', rule: 'shop/web-to-db' },
    { workload: 'db', direction: 'in', action: 'allow' },
  ],
  packets: [5, 4],
  bytes: [500, 4000],
  start: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  end: Date.UTC(2026, 0, 2, 3, 4, 9, 1),
  reason: 'end-of-flow',
  ...more,
});
