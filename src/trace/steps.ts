// A frame's way as a list of steps, each in plain words with the actual values: what the engine says, and for each
// verdict what the policy says.
import { edgeSegment } from '../documents/edge-pair.js';
import { ofKind, type Document } from '../documents/index.js';
import { parseAddress } from '../documents/ip.js';
import { ENCAPSULATIONS } from '../documents/tunnel.js';
import type { FlowHeaders, Trace } from '../engine/trace-messages.js';
import type { Decision, Direction, Packet, RuleReference } from '../policy/index.js';
import type { Stage, Step, TracedVerdict } from './answer.js';
import { arrivals, flowLine, isHeld, isOfPolicy, type Drop } from './line.js';
import { ETHERTYPE, ethertypeName, flagLetters } from './names.js';
import { valuesOf, type Surroundings } from './values.js';

/** What the documents in force say. */
export interface Explains extends Surroundings {
  rule(id: string): RuleReference | undefined;
  /** Where the default action is set. */
  host: { file: string; line: number } | undefined;
  /** Undefined where there is no time to find out. */
  decide(workload: string, direction: Direction, packet: Packet): Decision | undefined;
}

/** The stages as the engine names them, in order. */
const ENGINE_STAGES = [
  'parse',
  'guard',
  'locate',
  'fragments',
  'steer',
  'track',
  'classify',
  'advance',
  'services',
  'forward',
  'transmit',
];

/** As far as the frame came. */
export function stepsOf(trace: Trace, explains: Explains): Step[] {
  const reached = ENGINE_STAGES.indexOf(trace.stage);
  const steps: Step[] = [port(trace)];
  for (const stage of ENGINE_STAGES.slice(0, reached + 1) as Stage[]) {
    // What stands between two stages is no drop of either.
    const drops = trace.drops.filter((drop) => drop.stage === stage && !isInVerdicts(trace, drop));
    if (drops.length === 0 || stage === 'forward' || stage === 'transmit')
      steps.push(...(TELL[stage]?.(trace, explains) ?? []));
    if (stage === 'classify') steps.push(...verdictsOf(trace, explains), ...answers(trace));
    steps.push(...drops.map((drop) => dropStep(trace, drop, explains)));
  }
  return steps;
}

/** Each drop for its receiver; a frame that goes to many may have hundreds. */
const MOST_STEPS = 50;

function isInVerdicts({ verdicts }: Trace, drop: Drop): boolean {
  return (
    isOfPolicy(drop) &&
    verdicts.some(({ workload, direction }) => workload === drop.workload && direction === drop.direction)
  );
}

function dropStep(trace: Trace, drop: Drop, explains: Explains): Step {
  const { reason, text, direction, workload, stage } = drop;
  const values = valuesOf(trace, drop, explains);
  return {
    stage: stage as Stage,
    outcome: 'drop',
    text: `${reason}: ${text}`,
    reason,
    direction,
    ...(values === undefined ? {} : { details: [values] }),
    ...(workload === undefined ? {} : { workload }),
  };
}

function port({ workload, device, length, packets }: Trace): Step {
  const from = workload ?? 'a workload that is not known';
  const on = device === undefined ? '' : ` on ${device}`;
  const segments = packets > 1 ? `, a super-frame of ${packets} packets` : '';
  return {
    stage: 'port',
    outcome: 'ok',
    text: `from ${from}${on}: ${length} bytes${segments}`,
    ...(workload === undefined ? {} : { workload }),
  };
}

type Tell = (trace: Trace, explains: Explains) => Step[];

const isEdge = (segment: string | undefined) => segment?.startsWith(edgeSegment('')) ?? false;

const ok = (stage: Stage, text: string): Step[] => [{ stage, outcome: 'ok', text }];
const skip = (stage: Stage, text: string): Step[] => [{ stage, outcome: 'skip', text }];

const TELL: Partial<Record<Stage, Tell>> = {
  parse: (trace) => ok('parse', parsed(trace)),
  guard: (trace) => ok('guard', guarded(trace)),
  locate: (trace, explains) => located(trace, explains),
  fragments: (trace) => {
    const fragment = trace.headers?.fragment;
    if (fragment === undefined) return skip('fragments', 'it is no fragment');
    if (fragment === 'first') return ok('fragments', 'the first one: later ones get its ports');
    if (isHeld(trace)) return ok('fragments', 'a later one: it waits for its first');
    return ok('fragments', 'a later one: it has the ports of its first');
  },
  track: (trace) => tracked(trace),
  services: (trace, explains) => serviced(trace, explains),
  forward: (trace) => forwarded(trace),
  transmit: (trace) => transmitted(trace),
};

function parsed({ headers }: Trace): string {
  const { ethertype = 0, sourceMac = '', destinationMac = '', vlans = [], tcpFlags } = headers ?? {};
  const tags = vlans.length === 0 ? '' : `, VLAN ${vlans.join('.')}`;
  const flags = tcpFlags === undefined ? '' : `, TCP flags ${flagLetters(tcpFlags)}`;
  return `${ethertypeName(ethertype)} from ${sourceMac} to ${destinationMac}${tags}${flags}`;
}

function guarded({ headers, workload = 'its sender', segment }: Trace): string {
  if (isEdge(segment)) {
    const vlans = headers?.vlans.filter((vlan) => vlan > 0) ?? [];
    return `${workload} has a bridge for ${vlans.length === 0 ? 'untagged frames' : `VLAN ${vlans.join('.')}`}`;
  }
  const address = headers?.flow?.source;
  return `${workload} may use ${headers?.sourceMac ?? 'its MAC'}${address === undefined ? '' : ` and ${address}`}`;
}

function located(trace: Trace, { world, macs }: Surroundings): Step[] {
  const { headers, segment, destination } = trace;
  if (isEdge(segment)) return ok('locate', `the partner is ${destination ?? 'not there'}`);
  const mac = headers?.destinationMac ?? '';
  const on = segment === undefined ? '' : ` in segment ${segment}`;
  if (destination !== undefined) return ok('locate', `${mac} is ${destination}${on}`);
  const isGroup = (parseInt(mac.slice(0, 2), 16) & 1) === 1;
  const what = isGroup ? 'is a group address' : 'is not known';
  const text = `${mac} ${what}${on}: it goes to every other workload there`;
  const address = parseAddress(headers?.flow?.destination ?? '');
  const owner = address && world.owners(address).find(({ spec }) => spec.segment === segment);
  const right = owner && macs.of(owner.metadata.name);
  if (isGroup || right === undefined || right === mac) return ok('locate', text);
  // The sender would have learned another MAC by now.
  const stale = `${headers?.flow?.destination} is ${owner?.metadata.name}, whose MAC is ${right}: is the sender's ARP entry old?`;
  return [{ stage: 'locate', outcome: 'ok', text, details: [stale] }];
}

function tracked({ headers, connection }: Trace): Step[] {
  if (connection === undefined) {
    const what = headers?.ethertype === ETHERTYPE.arp ? 'ARP has' : 'neighbour discovery has';
    return skip('track', `${what} no connection: no rules apply`);
  }
  const { tracker, isNew, reply, before, after, flow } = connection;
  const state = before === after ? `state ${before}` : `state ${before} -> ${after}`;
  if (isNew) return ok('track', `a new connection in tracker ${tracker}, ${state}`);
  const how = reply ? 'a reply' : 'more';
  return ok('track', `${how} of the connection ${flowLine(flow)} in tracker ${tracker}, ${state}`);
}

function verdictsOf(trace: Trace, explains: Explains): Step[] {
  const flow = trace.connection?.flow ?? trace.headers?.flow;
  return trace.verdicts.slice(0, MOST_STEPS).map((verdict) => {
    const drop = trace.drops.find(
      (one) => isOfPolicy(one) && one.workload === verdict.workload && one.direction === verdict.direction,
    );
    const said = explain(verdict, flow, explains);
    return {
      stage: 'classify',
      outcome: verdict.action === 'allow' ? 'ok' : 'drop',
      text: verdictText(verdict, said),
      workload: verdict.workload,
      direction: verdict.direction,
      ...detailsOf(said, trace.connection?.isNew ?? true),
      ...(drop === undefined ? {} : { reason: drop.reason }),
      verdict: said,
    } satisfies Step;
  });
}

type Verdict = Trace['verdicts'][number];

/** The engine's verdict, with what the documents say of it. */
function explain(verdict: Verdict, flow: FlowHeaders | undefined, explains: Explains): TracedVerdict {
  const { workload, direction, action, rule: id, isNew } = verdict;
  const decision = flow && explains.decide(workload, direction, flow);
  const isSame = decision !== undefined && decision.action === action && decision.rule?.id === id;
  const rule = id === undefined ? undefined : (explains.rule(id) ?? unknownRule(id, action));
  const section = { text: 'the default action', ...explains.host };
  return {
    action,
    isNew,
    ...(rule === undefined ? { section: (isSame ? decision.section : undefined) ?? section } : { rule }),
    ...(decision !== undefined && !isSame ? { isKept: true } : {}),
    ...(isSame && action !== 'allow' && decision.nearestMiss ? { nearest: decision.nearestMiss } : {}),
    observed: isSame ? decision.observed : [],
    passed: isSame ? decision.passed : [],
  };
}

/** It was removed since, or control does not hold the policy that the engine has. */
function unknownRule(id: string, action: Verdict['action']): RuleReference {
  return { id, file: 'no document in force', line: 0, action, mode: 'enforce' };
}

function verdictText({ workload, direction, action }: Verdict, said: TracedVerdict): string {
  const { rule, section, isNew } = said;
  const place = rule === undefined ? `the default (${where(section)})` : `${rule.id} (${where(rule)})`;
  const earlier = isNew ? '' : ', at an earlier packet of the connection';
  return `${workload} ${direction}: ${action} by ${place}${earlier}`;
}

interface Place {
  file?: string | undefined;
  line?: number | undefined;
  text?: string;
}

function where(place: Place | undefined): string {
  if (place?.file === undefined) return place?.text ?? 'not set: allow';
  return place.line === 0 ? place.file : `${place.file}:${place.line}`;
}

function detailsOf(
  { nearest, observed, passed, isKept }: TracedVerdict,
  isNewFlow: boolean,
): { details?: string[] } {
  const kept = isNewFlow
    ? 'the policy in force says otherwise: it may just have changed'
    : 'an earlier policy decided so, and it was kept (onChange: keep): the policy in force says otherwise';
  const lines = [
    ...passed.map((rule) => `${rule.id} (${where(rule)}) passed it on to the next category`),
    ...observed
      .filter(({ id }) => id !== nearest?.rule.id)
      .map((rule) => `${rule.id} (${where(rule)}) would ${rule.action} it, but only observes`),
    ...(isKept === true ? [kept] : []),
    ...(nearest === undefined
      ? []
      : [`nearest: ${nearest.rule.id} (${where(nearest.rule)}): ${nearest.reason}`]),
  ];
  return lines.length === 0 ? {} : { details: lines };
}

function answers({ outputs, headers }: Trace): Step[] {
  const isTcp = headers?.tcpFlags !== undefined;
  return outputs
    .filter(({ what }) => what === 'answer')
    .map(({ workload }) => ({
      stage: 'classify',
      outcome: 'answer',
      text: `${workload} is answered with ${isTcp ? 'a TCP reset' : 'an ICMP error'}`,
      workload,
    }));
}

function serviced({ services = [] }: Trace, { world }: Surroundings): Step[] {
  if (services.length === 0) return skip('services', 'no service is inserted');
  return services.flatMap(({ tag, hop, portal, key, what }) => {
    const at = hop === 0 ? `${portal}, where its client is` : `${portal}, hop ${hop}`;
    const how = what === 'sent' ? 'sent to' : 'has come from';
    return ok('services', `${how} ${at}, under tag ${tag}: ${outerHeaders(world.documents, portal, key)}`);
  });
}

/** `VLAN 11`, `VXLAN 192.0.2.1 - 192.0.2.2, VNI 70011`. */
function outerHeaders(documents: readonly Document[], portal: string, key: number): string {
  const spec = ofKind(documents, 'ServicePortal').find(({ metadata }) => metadata.name === portal)?.spec;
  if (spec?.tunnel === undefined) return key > 4095 ? `QinQ ${key >> 12}.${key & 4095}` : `VLAN ${key}`;
  const tunnel = ofKind(documents, 'Tunnel').find(({ metadata }) => metadata.name === spec.tunnel)?.spec;
  const encapsulation = tunnel?.encapsulation ?? 'vxlan';
  const isNsh = ENCAPSULATIONS[encapsulation].metadata === 'context';
  const names: Partial<Record<typeof encapsulation, string>> = { gre: 'key', nvgre: 'VSID' };
  const number = isNsh ? `path ${key >>> 8}, index ${key & 255}` : `${names[encapsulation] ?? 'VNI'} ${key}`;
  const ends = [tunnel?.local ?? tunnel?.interface, spec.remote].filter((end) => end !== undefined);
  return `${encapsulation.toUpperCase()} ${ends.join(' - ')}, ${number}`;
}

function forwarded({ outputs, verdicts, drops }: Trace): Step[] {
  const to = outputs.filter(({ what }) => what === 'frame').map(({ workload }) => workload);
  const refused = drops.filter(({ direction }) => direction === 'in').length;
  if (to.length === 0 && drops.length > 0) return [];
  if (to.length === 0)
    return skip('forward', verdicts.length > 0 ? 'nobody is to get it' : 'it goes to nobody');
  const some = refused > 0 ? `, not for ${refused}` : '';
  return ok('forward', `queued for ${to.length > 4 ? `${to.length} workloads` : to.join(', ')}${some}`);
}

function transmitted(trace: Trace): Step[] {
  return arrivals(trace)
    .slice(0, MOST_STEPS)
    .map(({ workload, device }) => ({
      stage: 'transmit',
      outcome: 'ok',
      text: `to ${workload}${device === undefined ? '' : ` on ${device}`}`,
      workload,
    }));
}
