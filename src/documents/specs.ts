// Every kind with the schema of its spec.
import type { z } from 'zod';
import { groupSpecSchema } from './group.js';
import { hostSpecSchema } from './host.js';
import { securityPolicySpecSchema } from './security-policy.js';
import { segmentSpecSchema } from './segment.js';
import { serviceSpecSchema } from './service.js';
import type { Kind } from './types.js';
import { workloadSpecSchema } from './workload.js';

export const SPEC_SCHEMAS = {
  Segment: segmentSpecSchema,
  Workload: workloadSpecSchema,
  Group: groupSpecSchema,
  Service: serviceSpecSchema,
  SecurityPolicy: securityPolicySpecSchema,
  Host: hostSpecSchema,
} as const satisfies Record<Kind, z.ZodType>;
