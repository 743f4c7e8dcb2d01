// ServiceTag: the number under which a client's frames go to a service: VLAN id, VNI, GRE key or NSH path, as each portal's
// encapsulation has it. Hosts that send to each other have to name the same one, so it is written down, not given out.
import { z } from 'zod';
import { fields, name, number } from './fields.js';

const tag = number('a tag', 1, 16_777_215);

export const serviceTagSpecSchema = fields({
  tag,
  /** Whose frames these are: where clients are attached, their Segment. */
  client: name,
  /** What they ask for: rules of a ServiceInsertion name it. */
  service: name,
  /** Where the service is performed: a ServicePortal, or several in a row. Not needed where all goes via a gateway. */
  portal: name.optional(),
  chain: name.optional(),
  /** On a gateway: the ServicePortal by which the client's switch is reached. */
  from: name.optional(),
  /** Other numbers than `tag` for some portals. */
  portalTags: z.record(name, tag).optional(),
}).superRefine(({ portal, chain, from }, context) => {
  if (portal !== undefined && chain !== undefined)
    context.addIssue({ code: 'custom', message: 'takes one of portal and chain: remove the other' });
  if (from !== undefined && portal === undefined && chain === undefined)
    context.addIssue({
      code: 'custom',
      message: 'a gateway needs portal or chain: say where frames go from here',
    });
});

export type ServiceTagSpec = z.infer<typeof serviceTagSpecSchema>;
