// IPFIX messages, read by a reader that knows nothing of the encoder.
import { describe, expect, test } from 'vitest';
import { IpfixEncoder } from '../../src/flow-log/ipfix.js';
import { toRecord } from '../../src/flow-log/record.js';
import { flowRecord } from '../support/flow-records.js';
import { IpfixReader } from '../support/ipfix.js';

const NOW = Date.UTC(2026, 0, 2, 3, 5) / 1000;

function exchange(records: Parameters<typeof toRecord>[0][], mostBytes = 1452) {
  const encoder = new IpfixEncoder(7, mostBytes);
  const reader = new IpfixReader();
  expect(reader.read(encoder.templates(NOW).bytes)).toMatchObject({ templates: 2, sequence: 0, records: [] });
  const messages = [...encoder.messages(NOW + 0.9, records.map(toRecord))].map(({ bytes }) =>
    reader.read(bytes),
  );
  return { encoder, reader, messages };
}

const one = (record: Parameters<typeof toRecord>[0]): Record<string, unknown> => {
  const { messages } = exchange([record]);
  expect(messages).toHaveLength(1);
  expect(messages[0]).toMatchObject({ domain: 7, exportTime: NOW, templates: 0 });
  expect(messages[0]?.records).toHaveLength(1);
  return Object.fromEntries(messages[0]?.records[0] ?? []);
};

describe('a record', () => {
  test('of TCP over IPv4, every element', () => {
    expect(one(flowRecord())).toEqual({
      8: [0x0a000001n],
      12: [0x0a000002n],
      152: [BigInt(Date.UTC(2026, 0, 2, 3, 4, 5, 678))],
      153: [BigInt(Date.UTC(2026, 0, 2, 3, 4, 9, 1))],
      7: [40000n],
      11: [5432n],
      4: [6n],
      2: [5n],
      1: [500n],
      '29305/2': [4n],
      '29305/1': [4000n],
      239: [1n],
      136: [3n],
      233: [2n],
      236: ['lan'],
      350: ['web', 'db'],
      335: ['shop/web-to-db', 'default'],
      32: [0n],
    });
  });

  test('of ICMPv6', () => {
    const icmp = { protocol: 58, sourcePort: 0, destinationPort: 0, icmpType: 129, icmpCode: 3 };
    const found = one(flowRecord({ ...icmp, source: 'fd00::1:2', destination: '2001:db8::' }));
    expect(found).toMatchObject({
      27: [0xfd00_0000_0000_0000_0000_0000_0001_0002n],
      28: [0x2001_0db8_0000_0000_0000_0000_0000_0000n],
      4: [58n],
      139: [129n * 256n + 3n],
    });
  });

  test.each([
    ['idle-timeout', 'two-way', 1n, 2n],
    ['active-timeout', 'established', 2n, 5n],
    ['end-of-flow', 'reset', 3n, 2n],
    ['forced-end', 'denied', 4n, 2n],
    ['no-room', 'one-way', 5n, 2n],
    ['idle-timeout', 'denied', 1n, 3n],
    ['active-timeout', 'denied', 2n, 3n],
  ] as const)('that ends by %s, %s', (reason, state, flowEndReason, firewallEvent) => {
    expect(one(flowRecord({ reason, state }))).toMatchObject({ 136: [flowEndReason], 233: [firewallEvent] });
  });

  test('of counts beyond 32 bits, judged at one end', () => {
    const verdicts = flowRecord().verdicts.slice(1);
    const counts = { packets: [2 ** 33, 0], bytes: [2 ** 52 + 1, 0] } as const;
    expect(
      one(flowRecord({ verdicts, packets: [...counts.packets], bytes: [...counts.bytes] })),
    ).toMatchObject({
      2: [2n ** 33n],
      1: [2n ** 52n + 1n],
      350: ['', 'db'],
      335: ['', 'default'],
    });
  });
});

test('many records: messages are no longer than allowed, and sequence numbers count the records before', () => {
  const long = 'x'.repeat(63);
  const verdict = { workload: long, action: 'allow', rule: `${long}/${long}` } as const;
  const verdicts = [
    { ...verdict, direction: 'out' as const },
    { ...verdict, direction: 'in' as const },
  ];
  const records = Array.from({ length: 500 }, (_, i) =>
    flowRecord({
      sourcePort: i,
      ...(i % 3 === 0 ? { source: 'fd00::1', destination: 'fd00::2' } : {}),
      ...(i % 2 === 0 ? { verdicts, tracker: long } : {}),
    }),
  );
  const { encoder, reader, messages } = exchange(records, 1232);
  let sequence = 0;
  for (const message of messages) {
    expect(message.length).toBeLessThanOrEqual(1232);
    expect(message.sequence).toBe(sequence);
    sequence += message.records.length;
  }
  const ports = messages.flatMap(({ records }) => records.map((record) => Number(record.get('7')?.[0])));
  expect(ports.sort((a, b) => a - b)).toEqual(records.map((_, i) => i));
  // All but the last of each family are full.
  expect(messages.filter(({ length }) => length < 600).length).toBeLessThanOrEqual(2);
  expect(reader.read(encoder.templates(NOW).bytes).sequence).toBe(500);
});
