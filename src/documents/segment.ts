// Segment: a logical switch.
import { z } from 'zod';
import { fields, name, number, oneOf, vlan } from './fields.js';

export const segmentSpecSchema = fields({
  /** VLAN id that the segment's frames carry on a nic; absent: untagged. */
  vlan: vlan.optional(),
  /** The second tag of QinQ. */
  innerVlan: vlan.optional(),
  /** What its frames carry in tunnels: VNI of VXLAN and Geneve, GRE key, NSH path id. */
  vni: number('a VNI', 1, 16_777_215).optional(),
  /** The tunnels that it stretches over. */
  tunnels: z.array(name).min(1).max(64).optional(),
  /** What becomes of frames too long for a tunnel's path. Absent: refuse, and tell the sender. */
  oversized: oneOf('oversized', ['refuse', 'fragment']).optional(),
  /** Segments and edge pairs that name the same tracker share their connections; absent: its own, of the segment's name. */
  tracker: name.optional(),
}).superRefine((value, context) => {
  if (value.tunnels && value.vni === undefined)
    context.addIssue({
      code: 'custom',
      message: 'tunnels need vni: say what its frames carry',
      path: ['vni'],
    });
  if (value.innerVlan === undefined || value.vlan !== undefined) return;
  context.addIssue({
    code: 'custom',
    message: 'innerVlan needs vlan: add the outer tag',
    path: ['innerVlan'],
  });
});

export type SegmentSpec = z.infer<typeof segmentSpecSchema>;
