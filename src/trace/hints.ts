// How to mend what a frame was dropped for: one hint for each reason of native-bindings/packet/reasons.def, and what to do
// with a rule that came near to allowing it.
import type { MissField } from '../policy/index.js';
import type { TraceAnswer } from './answer.js';

const BROKEN = 'The sender makes it wrong: look at its network stack, driver and offloads.';
const DAMAGED = 'A driver or an offload damages frames: try `ethtool -K DEVICE tx off` at the sender.';
const TRUNK = 'Tag the frames at the sender, or give the segment the VLAN id: spec.vlan, spec.innerVlan.';
const OWN = 'Add it to spec.addresses of the workload if it may use it; else its network setup is wrong.';
const ASYMMETRIC =
  'Does the other direction take a way around Headgate? Then set tracking: pickup or liberal in the section.';

const FAR = "The remote makes it wrong: is it of the tunnel's encapsulation, and of its version?";

export const HINTS: Record<string, string> = {
  'tunnel-unknown-peer': 'Add the address to spec.remotes of the Tunnel, if it may be trusted.',
  'tunnel-truncated': FAR,
  'tunnel-not-ethernet': 'A tunnel carries Ethernet frames alone: set the remote to bridge, not to route.',
  'tunnel-control': 'Control and OAM packets are not answered: turn them off at the remote.',
  'vxlan-no-vni': FAR,
  'vxlan-gpe-not-nsh': 'Set the remote to NSH over VXLAN-GPE, or use the encapsulation vxlan.',
  'gre-bad-version': FAR,
  'gre-bad-flags': FAR,
  'gre-no-key': 'Set a key at the remote: the VNI of the segment.',
  'gre-bad-checksum': DAMAGED,
  'geneve-bad-version': FAR,
  'geneve-bad-option': FAR,
  'geneve-critical-option': 'Add the option to spec.options of the Tunnel, or turn it off at the remote.',
  'nsh-bad-version': FAR,
  'nsh-bad-length': FAR,
  'nsh-bad-metadata': FAR,
  'nsh-expired': 'It went through too many service functions: look for a loop in the path.',
  'tunnel-unknown-key': 'Give a Segment that names the tunnel the VNI that the remote uses: spec.vni.',
  'ethernet-truncated': BROKEN,
  'ethernet-bad-source': BROKEN,
  'vlan-truncated': BROKEN,
  'vlan-too-many-tags': 'Headgate takes two VLAN tags: take off the outer ones before it.',
  'ethertype-unsupported': 'Headgate passes ARP, IPv4 and IPv6 alone: carry anything else inside IP.',
  'arp-malformed': BROKEN,
  'ipv4-truncated': BROKEN,
  'ipv4-bad-version': BROKEN,
  'ipv4-bad-header-length': BROKEN,
  'ipv4-bad-length': BROKEN,
  'ipv4-bad-checksum': DAMAGED,
  'ipv4-bad-options': BROKEN,
  'ipv4-source-route': 'Source routes are never let through: turn them off at the sender.',
  'ipv4-bad-address': 'Look at the addresses of the sender: is the source its own, and not the destination?',
  'ipv6-truncated': BROKEN,
  'ipv6-bad-version': BROKEN,
  'ipv6-bad-length': BROKEN,
  'ipv6-bad-address': 'Look at the addresses of the sender: is the source its own, and not the destination?',
  'ipv6-bad-extension': BROKEN,
  'ipv6-too-many-extensions': 'At most eight extension headers are let through: send fewer.',
  'ipv6-routing-header': 'Routing headers of type 0 are never let through: turn them off at the sender.',
  'fragment-malformed': BROKEN,
  'fragment-tiny': 'The first fragment has to hold the whole transport header: raise the MTU on the way.',
  'tcp-truncated': BROKEN,
  'tcp-bad-offset': BROKEN,
  'tcp-bad-flags': 'No host sends such flags: a scanner does. Look at what runs at the sender.',
  'tcp-bad-checksum': DAMAGED,
  'udp-truncated': BROKEN,
  'udp-bad-length': BROKEN,
  'udp-bad-checksum': DAMAGED,
  'sctp-truncated': BROKEN,
  'icmp-truncated': BROKEN,
  'icmp-bad-checksum': DAMAGED,
  'icmp-wrong-family': BROKEN,
  'nd-malformed': 'Neighbour discovery needs hop limit 255: was it routed? Else the sender makes it wrong.',
  'offload-malformed': DAMAGED,
  'port-unbound': 'No workload of the policy is attached by this device: headgate get workloads',
  'vlan-not-allowed': 'Send it untagged; only workloads with attach.nic share a trunk by VLAN tags.',
  'vlan-unmapped': TRUNK,
  'spoofed-mac':
    "Set spec.attach.tap.mac (veth.mac, nic.mac) to the workload's MAC, or the device's to that one.",
  'spoofed-ipv4': OWN,
  'spoofed-ipv6': OWN,
  'spoofed-arp': OWN,
  'spoofed-nd': `${OWN} Routers need a workload without spec.addresses.`,
  'mac-limit': 'A workload may use 64 MACs: attach bridges and routers apart, or pin a MAC in the document.',
  'service-tag-unknown':
    'Is there a ServiceTag of this number for the portal that it came from? headgate get servicetags',
  'service-not-tracked':
    'A portal gives back what it was given: ARP, spanning tree and the like belong on its management network.',
  'no-other-port':
    'The destination MAC is behind the same port: is its ARP entry old? Clear it at the sender.',
  'mac-reserved': 'Spanning tree, LACP and LLDP stay on their link: nothing is to be mended.',
  'no-member': 'Attach another workload to the segment: headgate get workloads',
  'split-horizon': 'Hosts are joined each with each: give the two the other as a remote.',
  'flood-limited':
    'More than 2,000 broadcast and unknown frames a second: find the loop or storm at the sender.',
  'fragment-duplicate': 'The network doubles packets: look for a loop or a mirror. The first copy went on.',
  'fragment-overlap':
    'No host sends overlapping fragments: an attack does, or ids that come again within 30 s.',
  'fragment-wrong-end': 'Its fragments contradict each other: an attack, or ids that come again within 30 s.',
  'fragment-timeout': 'The first fragment was lost or dropped: headgate stats names reasons of drops.',
  'fragments-full': 'Too many fragmented packets at once: set MTUs so that packets need no fragments.',
  'icmp-error-malformed': BROKEN,
  'icmp-error-unrelated':
    'Nobody has sent the packet that it quotes: forged, or its connection is forgotten. headgate flows shows those there are.',
  'connections-quota':
    'headgate top shows who holds connections; raise limits.connections of the Workload or the Host if it may.',
  'connections-rate':
    'headgate top shows who begins so many; raise limits.newPerSecond of the Workload or the Host if it may.',
  'half-open-quota':
    'Is the destination there, or is it a scan? Raise limits.halfOpen of the Workload or the Host if it may.',
  'connections-full': 'Raise spec.connections in the host file; headgate flows shows who holds them.',
  'policy-drop': 'Change the rule, or put one that allows it before: headgate plan, headgate apply',
  'policy-reject': 'Change the rule, or put one that allows it before: headgate plan, headgate apply',
  'default-drop':
    'Write a rule that allows it, at this end and at the other: headgate explain tries it on files.',
  'connection-reset':
    'A changed rule with onChange: reset ended the connection: the client has to connect anew.',
  'tcp-mid-stream': `No SYN of it came by. ${ASYMMETRIC}`,
  'tcp-unexpected-flags': `A SYN or its answer did not come by. ${ASYMMETRIC}`,
  'tcp-out-of-window': `The receiver has no room for it, or the acknowledgement that made room went another way. ${ASYMMETRIC}`,
  'tcp-bad-ack': `What it acknowledges did not come by. ${ASYMMETRIC}`,
  'tcp-bad-reset': 'A forged reset, or one of a connection that was before: nothing is to be mended.',
  'sctp-mid-stream': `No INIT of it came by. ${ASYMMETRIC}`,
  'sctp-bad-tag': 'A forged packet, or one of an association that was before: nothing is to be mended.',
  'service-portal-down':
    'headgate get serviceportals says what its health check met; alternates, or fail: open, keep traffic going.',
  'service-no-connection':
    'The portal changes addresses or ports, or holds frames longer than connections live: headgate flows -o wide',
  'service-ambiguous':
    'Two clients have the same addresses there: make the portal keep tags, and leave out returns: record.',
  'service-loop':
    'The portal gives frames back under the tag of another hop, or sends more than it gets: look at its bridges.',
  'worker-ring-full': 'A packet thread is behind: more workers in the host file, or fewer frames.',
  'output-detached': "The destination's device is not there: headgate get workloads -o wide says why.",
  'output-down': "Set the destination's device up: ip link set DEVICE up in its namespace.",
  'output-full': 'The destination reads too slowly: look at its load and at the length of its queue.',
  'tunnel-too-big':
    'Lower the MTU of the workload (tap.mtu), raise that of the underlay, or set spec.oversized of the Segment.',
  'output-too-big': 'Set the same MTU at both ends, or let ICMP "fragmentation needed" reach the sender.',
  'output-unsegmentable': 'Turn the offload off at the sender: ethtool -K DEVICE tso off gso off',
};

const NEAREST: Record<MissField, (id: string) => string> = {
  appliedTo: (id) => `Change appliedTo of ${id} or of its policy, or the labels of the workload.`,
  direction: (id) => `Leave direction out of ${id}: both ends judge a connection.`,
  from: (id) => `Change "from" of ${id}, or the labels and groups that it goes by.`,
  to: (id) => `Change "to" of ${id}, or the labels and groups that it goes by.`,
  services: (id) => `Change services of ${id}, or write a rule for this one.`,
  mode: (id) => `Let it decide: headgate promote ${id}`,
  pass: (id) => `Put ${id} before the rule that passes on, or into a later category.`,
  shadowed: (id) => `Put ${id} before the rule that decides, or make that one narrower.`,
};

/** Fields by which a rule does match: it is the place or the mode that keeps it from deciding. */
const MATCHES: MissField[] = ['mode', 'pass', 'shadowed'];

/** Of the first drop; undefined where there is none. */
export function hintFor({
  trace: { drops },
  steps = [],
}: Pick<TraceAnswer, 'trace' | 'steps'>): string | undefined {
  const reason = drops[0]?.reason ?? '';
  const nearest = steps.flatMap(({ verdict }) => verdict?.nearest ?? [])[0];
  if (nearest?.rule.action !== 'allow') return HINTS[reason];
  // Where a rule denies, one for something else is not what is to be changed.
  const isMeant = MATCHES.includes(nearest.field)
    ? ['policy-drop', 'policy-reject', 'default-drop'].includes(reason)
    : reason === 'default-drop';
  return isMeant ? NEAREST[nearest.field](nearest.rule.id) : HINTS[reason];
}
