// ServicePortal: a place where a service is performed on frames that are sent there under a tag, such as an appliance, or
// the gateway that leads to it; and what becomes of them while it does not work.
import { z } from 'zod';
import { address, fields, name, number, oneOf, text } from './fields.js';

const path = text((value) =>
  /^\/[\x21-\x7e]{0,255}$/.test(value)
    ? undefined
    : `"${value.slice(0, 80)}" is not a path: begin with "/", with up to 256 characters and no spaces`,
);

const ipv4 = address.superRefine((value, context) => {
  if (value.includes(':'))
    context.addIssue({
      code: 'custom',
      message: `"${value}" is an IPv6 address: portals are asked over IPv4`,
    });
});

const health = fields({
  probe: oneOf('probe', ['icmp', 'tcp', 'http']),
  /** Of the portal, where it is asked. */
  address: ipv4,
  /** Of the engine, in the same network: nobody else there may have it. */
  source: ipv4,
  /** TCP and HTTP. */
  port: number('a port', 1, 65_535).optional(),
  /** HTTP; a status of 2xx or 3xx is good. Absent: `/`. */
  path: path.optional(),
  /** The tag that probes go under. Absent: none (in a tunnel, 0). */
  tag: number('a tag', 1, 16_777_215).optional(),
  /** Milliseconds. Absent: 200. */
  interval: number('an interval', 10, 60_000).optional(),
  /** Probes in a row that fail before the portal is down. Absent: 3. */
  failures: number('failures', 1, 100).optional(),
}).superRefine((value, context) => {
  const complain = (message: string, field: string) =>
    context.addIssue({ code: 'custom', message, path: [field] });
  if (value.probe === 'icmp' && value.port !== undefined) complain('ICMP has no port: leave it out', 'port');
  if (value.probe !== 'icmp' && value.port === undefined)
    complain(`is needed: the port that ${value.probe} asks`, 'port');
  if (value.probe !== 'http' && value.path !== undefined)
    complain(`${value.probe} has no path: leave it out, or use http`, 'path');
  if (value.source === value.address)
    complain('is the portal itself: take a free address beside it', 'source');
});

export const servicePortalSpecSchema = fields({
  /** The workload that it is attached as, a nic that nobody else has; tags are then VLANs of the nic. */
  workload: name.optional(),
  /** There: `vlan` (absent), or `qinq` with tags behind `outerVlan`. */
  encapsulation: oneOf('encapsulation', ['vlan', 'qinq']).optional(),
  outerVlan: number('a VLAN id', 1, 4094).optional(),
  /** Or: the tunnel and the remote behind which it is; tags are then VNIs, keys or paths of the tunnel. */
  tunnel: name.optional(),
  remote: z.string().optional(),
  /** How frames that come back are told: by their tag (absent), or, from an appliance that loses tags, by their connection. */
  returns: oneOf('returns', ['tag', 'record']).optional(),
  /** Absent: it counts as working while it is attached. */
  health: health.optional(),
  /** Portals that stand in for it while it is down, the first that works. */
  alternates: z.array(name).max(7).optional(),
  /** While none works: frames go on without the service (`open`), or are dropped (`closed`, if absent). */
  fail: oneOf('fail', ['open', 'closed']).optional(),
}).superRefine((value, context) => {
  const complain = (message: string, field?: string) =>
    context.addIssue({ code: 'custom', message, ...(field !== undefined && { path: [field] }) });
  if ((value.workload === undefined) === (value.tunnel === undefined))
    complain('needs one of workload and tunnel: say where it is');
  if ((value.tunnel === undefined) !== (value.remote === undefined))
    complain('tunnel and remote belong together: say which of its remotes it is', 'remote');
  if (value.tunnel !== undefined && value.encapsulation !== undefined)
    complain("is the tunnel's: leave it out", 'encapsulation');
  if ((value.encapsulation === 'qinq') !== (value.outerVlan !== undefined))
    complain('belongs to encapsulation qinq: give both or neither', 'outerVlan');
});

export type ServicePortalSpec = z.infer<typeof servicePortalSpecSchema>;
