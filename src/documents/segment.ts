// Segment: a logical switch.
import { z } from 'zod';
import { fields, name, number, vlan } from './fields.js';

export const segmentSpecSchema = fields({
  /** VLAN id that the segment's frames carry on a nic; absent: untagged. */
  vlan: vlan.optional(),
  /** The second tag of QinQ. */
  innerVlan: vlan.optional(),
  /** VXLAN or Geneve network id, for tunnels between hosts. */
  vni: number('a VNI', 1, 16_777_215).optional(),
  /** Segments that name the same connection tracker share their connections; absent: its own. */
  tracker: name.optional(),
}).superRefine((value, context) => {
  if (value.innerVlan === undefined || value.vlan !== undefined) return;
  context.addIssue({
    code: 'custom',
    message: 'innerVlan needs vlan: add the outer tag',
    path: ['innerVlan'],
  });
});

export type SegmentSpec = z.infer<typeof segmentSpecSchema>;
