// EdgePair: two interfaces between which frames pass as through a wire, and what VLANs they have on either side.
import { z } from 'zod';
import { device, fields, name, vlan } from './fields.js';

const end = fields({ interface: device });

const bridge = fields({
  /** VLAN ids of its frames on either side; absent: untagged. */
  southVlan: vlan.optional(),
  southInnerVlan: vlan.optional(),
  northVlan: vlan.optional(),
  northInnerVlan: vlan.optional(),
  /** Whose connections its flows are, and who judges them. */
  tracker: name,
});

export const SIDES = ['south', 'north'] as const;

const OTHERS = `give each bridge VLANs of its own on either side`;

export const edgePairSpecSchema = fields({
  north: end,
  south: end,
  bridges: z
    .array(bridge)
    .min(1, { error: () => 'the list is empty: without bridges nothing passes' })
    .max(65_536),
}).superRefine(({ north, south, bridges }, context) => {
  const issue = (path: (string | number)[], message: string) =>
    context.addIssue({ code: 'custom', message, path });
  if (north.interface === south.interface)
    issue(['north', 'interface'], `"${north.interface}" is the south already: a pair needs two interfaces`);
  for (const side of SIDES) {
    const seen = new Map<string, number>();
    for (const [i, one] of bridges.entries()) {
      const { outer, inner } = tagsOf(one, side);
      if (inner !== undefined && outer === undefined)
        issue(['bridges', i, `${side}InnerVlan`], `${side}InnerVlan needs ${side}Vlan: add the outer tag`);
      const tags = tagsText(one, side);
      const first = seen.get(tags);
      if (first !== undefined)
        issue(['bridges', i], `${tags} on the ${side} are those of bridges[${first}] already: ${OTHERS}`);
      seen.set(tags, first ?? i);
    }
  }
});

export type EdgePairSpec = z.infer<typeof edgePairSpecSchema>;
export type BridgeSpec = EdgePairSpec['bridges'][number];
export type EdgeSide = (typeof SIDES)[number];

export function tagsOf(
  bridge: BridgeSpec,
  side: EdgeSide,
): { outer?: number | undefined; inner?: number | undefined } {
  return side === 'south'
    ? { outer: bridge.southVlan, inner: bridge.southInnerVlan }
    : { outer: bridge.northVlan, inner: bridge.northInnerVlan };
}

/** `VLAN 10.7 frames`, `untagged frames`. */
function tagsText(bridge: BridgeSpec, side: EdgeSide): string {
  const { outer, inner } = tagsOf(bridge, side);
  if (outer === undefined) return 'untagged frames';
  return `frames of VLAN ${outer}${inner === undefined ? '' : `.${inner}`}`;
}

/** How an edge pair, and each of its interfaces, is called among segments and workloads. */
export function edgeSegment(pair: string): string {
  return `edge:${pair}`;
}
export function edgePlace(pair: string, side: EdgeSide): string {
  return `edge:${pair}/${side}`;
}
