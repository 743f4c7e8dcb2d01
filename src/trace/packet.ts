// A packet as people describe it, or as a capture holds it: what `trace --simulate` and `--inject` are asked about.
import { z } from 'zod';
import { givenFrameSchema } from '../engine/trace-messages.js';

const name = z.string().min(1).max(256);
const address = z.string().min(2).max(64);
const port = z.int().min(0).max(65535);
const octet = z.int().min(0).max(255);
const mac = z
  .string()
  .regex(/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/, 'a MAC like 02:00:00:00:00:01 is wanted');

/** Most payload: it fits into one packet with every header there is. */
export const MOST_PAYLOAD = 65_000;

export const describedSchema = z.strictObject({
  /** Who sends it: a workload, or an address that one owns; absent: told by the source MAC or address. */
  from: name.optional(),
  /** A workload or an address. */
  to: name,
  protocol: z.union([octet, z.enum(['arp', 'arp-reply'])]),
  /** Absent: one of those that systems choose by themselves. */
  sourcePort: port.optional(),
  destinationPort: port.optional(),
  icmpType: octet.optional(),
  icmpCode: octet.optional(),
  /** Of echo requests and replies. */
  icmpId: port.optional(),
  /** Absent: SYN. */
  tcpFlags: octet.optional(),
  family: z.union([z.literal(4), z.literal(6)]).optional(),
  /** Bytes behind the last header. */
  payload: z.int().min(0).max(MOST_PAYLOAD).optional(),
  /** Outer first; absent: those that the workload's port needs. */
  vlans: z.array(z.int().min(0).max(4095)).max(2).optional(),
  sourceMac: mac.optional(),
  destinationMac: mac.optional(),
  sourceAddress: address.optional(),
  destinationAddress: address.optional(),
  ttl: octet.optional(),
  fragment: z
    .strictObject({ offset: z.int().min(0).max(65_528).multipleOf(8), more: z.boolean() })
    .optional(),
});

/** A frame as it was captured. */
export const rawSchema = z.strictObject({
  /** Who sent it: absent, told by the source MAC or address. */
  from: name.optional(),
  frame: givenFrameSchema.shape.frame,
});

export const packetSchema = z.union([describedSchema, rawSchema]);

export type Described = z.infer<typeof describedSchema>;
export type Raw = z.infer<typeof rawSchema>;
export type PacketQuestion = z.infer<typeof packetSchema>;
