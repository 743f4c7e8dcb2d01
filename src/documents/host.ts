// Host: the root-owned settings of one machine: the default action, what may be attached, and sizes.
import { z } from 'zod';
import { TRACKING_MODES, timeoutsSchema } from '../engine/messages.js';
import { fields, number, oneOf, text } from './fields.js';
import { parseEndpoint } from './ip.js';
import { limits } from './limits.js';

const glob = text((value) =>
  value.length > 0 && value.length <= 255 && !/[\s\0]/.test(value)
    ? undefined
    : `"${value}" is not a pattern: use a name in which "*" stands for any characters`,
);

const user = text((value) =>
  /^[a-z_][-a-z0-9_]{0,31}$/.test(value) ? undefined : `"${value}" is not a user name`,
);

const collector = text((value) =>
  parseEndpoint(value)
    ? undefined
    : `"${value}" is not an address with a port: write it like 192.0.2.7:4739 or "[2001:db8::7]:4739"`,
);

const logPath = text((value) =>
  value === '-' || /^\/[^\0]+$/.test(value)
    ? undefined
    : `"${value}" is not an absolute path: write it like /var/log/headgate/flows.jsonl, or "-" for standard output`,
);

/** Records of connections: where to, and how often of one that lasts. */
const flowLog = fields({
  ipfix: fields({
    /** Address and UDP port. */
    collector,
    /** Tells this host apart where a collector does not go by addresses. */
    observationDomain: number('observationDomain', 0, 0xffff_ffff).optional(),
    /** Of the way to the collector: no message is cut into fragments. */
    mtu: number('an MTU', 1280, 9216).optional(),
  }).optional(),
  /** A file, to which an object a line is appended; `-`: standard output. */
  jsonLines: logPath.optional(),
  /** Seconds after which a connection that lasts is reported. */
  activeTimeout: number('activeTimeout', 1, 86_400).optional(),
}).superRefine(({ ipfix, jsonLines }, context) => {
  if (ipfix ?? jsonLines) return;
  context.addIssue({ code: 'custom', message: 'flowLog leads nowhere: give ipfix, jsonLines or both' });
});

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
  /** What may begin a connection. Absent: pickup. */
  tracking: oneOf('tracking', TRACKING_MODES).optional(),
  /** Seconds. */
  timeouts: fields(timeoutsSchema.shape).optional(),
  /** What each workload may begin. */
  limits: limits.optional(),
  flowLog: flowLog.optional(),
});

export type HostSpec = z.infer<typeof hostSpecSchema>;
export type FlowLogSpec = z.infer<typeof flowLog>;
