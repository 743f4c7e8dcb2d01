// Service: protocols with their ports or ICMP types, under one name; the same entries stand inline in rules.
import { z } from 'zod';
import { fields, number, ports } from './fields.js';
import { suggest } from './nearest.js';
import { PROTOCOL_NAMES, protocolNumber, PROTOCOLS } from './protocols.js';

const protocol = z
  .union([z.string(), z.number()], {
    error: (issue) =>
      `${issue.input === undefined ? 'is missing' : 'is not one'}: one of ${PROTOCOL_NAMES.join(', ')} or a number from 0 to 255`,
  })
  .superRefine((value, context) => {
    if (protocolNumber(value) !== undefined) return;
    const message = `unknown protocol "${value}": ${suggest(String(value), PROTOCOL_NAMES)} (or a number from 0 to 255)`;
    context.addIssue({ code: 'custom', message });
  });

const HAS_PORTS: readonly number[] = [PROTOCOLS.tcp, PROTOCOLS.udp, PROTOCOLS.sctp];
const HAS_TYPES: readonly number[] = [PROTOCOLS.icmp, PROTOCOLS.icmpv6];

export const serviceEntrySchema = fields({
  protocol,
  /** Destination ports; absent: any. */
  ports: ports.optional(),
  sourcePorts: ports.optional(),
  icmpType: number('an ICMP type', 0, 255).optional(),
  icmpCode: number('an ICMP code', 0, 255).optional(),
}).superRefine((entry, context) => {
  const number = protocolNumber(entry.protocol) ?? -1;
  for (const field of ['ports', 'sourcePorts'] as const) {
    if (entry[field] === undefined || HAS_PORTS.includes(number)) continue;
    const message = `protocol ${entry.protocol} has no ports: remove ${field}, or set protocol to tcp, udp or sctp`;
    context.addIssue({ code: 'custom', message, path: [field] });
  }
  for (const field of ['icmpType', 'icmpCode'] as const) {
    if (entry[field] === undefined || HAS_TYPES.includes(number)) continue;
    const message = `protocol ${entry.protocol} has no ICMP types: remove ${field}, or set protocol to icmp or icmpv6`;
    context.addIssue({ code: 'custom', message, path: [field] });
  }
  if (entry.icmpCode !== undefined && entry.icmpType === undefined) {
    context.addIssue({ code: 'custom', message: 'icmpCode needs icmpType: add it', path: ['icmpCode'] });
  }
});

export const serviceSpecSchema = fields({
  entries: z
    .array(serviceEntrySchema)
    .min(1, { error: () => 'the list is empty: give at least one entry' })
    .max(1000),
});

export type ServiceEntry = z.infer<typeof serviceEntrySchema>;
export type ServiceSpec = z.infer<typeof serviceSpecSchema>;
