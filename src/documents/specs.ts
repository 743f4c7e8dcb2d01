// Every kind with the schema of its spec.
import type { z } from 'zod';
import { edgePairSpecSchema } from './edge-pair.js';
import { groupSpecSchema } from './group.js';
import { hostSpecSchema } from './host.js';
import { securityPolicySpecSchema } from './security-policy.js';
import { segmentSpecSchema } from './segment.js';
import { serviceSpecSchema } from './service.js';
import { serviceChainSpecSchema } from './service-chain.js';
import { serviceInsertionSpecSchema } from './service-insertion.js';
import { servicePortalSpecSchema } from './service-portal.js';
import { serviceTagSpecSchema } from './service-tag.js';
import { trackerSpecSchema } from './tracker.js';
import { tunnelSpecSchema } from './tunnel.js';
import type { Kind } from './types.js';
import { workloadSpecSchema } from './workload.js';

export const SPEC_SCHEMAS = {
  Segment: segmentSpecSchema,
  Workload: workloadSpecSchema,
  Tracker: trackerSpecSchema,
  EdgePair: edgePairSpecSchema,
  Group: groupSpecSchema,
  Service: serviceSpecSchema,
  SecurityPolicy: securityPolicySpecSchema,
  Tunnel: tunnelSpecSchema,
  ServicePortal: servicePortalSpecSchema,
  ServiceTag: serviceTagSpecSchema,
  ServiceInsertion: serviceInsertionSpecSchema,
  ServiceChain: serviceChainSpecSchema,
  Host: hostSpecSchema,
} as const satisfies Record<Kind, z.ZodType>;
