// Host: the root-owned settings of one machine: the default action, what may be attached, and sizes.
import { z } from 'zod';
import { timeoutsSchema } from '../engine/messages.js';
import { fields, number, oneOf, text } from './fields.js';

const glob = text((value) =>
  value.length > 0 && value.length <= 255 && !/[\s\0]/.test(value)
    ? undefined
    : `"${value}" is not a pattern: use a name in which "*" stands for any characters`,
);

const user = text((value) =>
  /^[a-z_][-a-z0-9_]{0,31}$/.test(value) ? undefined : `"${value}" is not a user name`,
);

export const hostSpecSchema = fields({
  /** What a new flow gets that no rule decides. Absent: allow. */
  default: oneOf('default', ['allow', 'drop']).optional(),
  attach: fields({
    /** Namespaces in which TAP devices may be made; `self` is the engine's own. */
    namespaces: z.array(glob).max(1000).optional(),
    /** Interfaces that may be taken over by veth and nic. */
    interfaces: z.array(glob).max(1000).optional(),
  }).optional(),
  /** Packet threads. */
  workers: number('workers', 1, 64).optional(),
  /** Most connections that are tracked at once. */
  connections: number('connections', 1024, 100_000_000).optional(),
  /** Most slots that all rules together take in the lookup. */
  rules: number('rules', 1, 16_777_216).optional(),
  /** The user that control runs as. */
  user: user.optional(),
  /** Seconds. */
  timeouts: fields(timeoutsSchema.shape).optional(),
});

export type HostSpec = z.infer<typeof hostSpecSchema>;
