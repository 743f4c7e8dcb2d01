// Traces: packets are described, made into frames, and given to the engine; what it says of them is explained.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { z } from 'zod';
import { PROTOCOLS } from '../documents/protocols.js';
import { loadAddon } from '../engine/addon.js';
import type { Trace, TraceFilter } from '../engine/trace-messages.js';
import { errorCode, errorMessage, HeadgateError } from '../shared/errors.js';
import type { TraceAnswer } from '../trace/answer.js';
import { dissect } from '../trace/dissect.js';
import { packetLine, summaryOf, verdictLine } from '../trace/line.js';
import { ACK, icmpName, RST, SYN } from '../trace/names.js';
import type { PacketQuestion } from '../trace/packet.js';
import { prepare, type Prepared } from '../trace/prepare.js';
import type { Control } from './control.js';
import { answerTo, Explainer } from './explainer.js';
import type {
  injectBody,
  InjectResult,
  liveBody,
  LiveResult,
  simulateBody,
  SimulateResult,
  TakenResult,
} from './trace-api.js';

/** How long the policy is asked for one request: control serves others meanwhile, but not in the middle of a question. */
const EXPLAIN_MILLISECONDS = 1000;
const EXPLAIN_LIVE_MILLISECONDS = 100;

export async function simulate(
  control: Control,
  { packets }: z.output<typeof simulateBody>,
): Promise<SimulateResult> {
  const explainer = await Explainer.of(control, EXPLAIN_MILLISECONDS);
  const { prepared, leftOut } = prepareAll(explainer, packets);
  const { traces } = await control.ask('simulate', { frames: prepared.map(({ given }) => given) });
  return {
    traces: await explainer.answers(traces),
    notes: [...leftOut, ...new Set(prepared.flatMap(({ notes }) => notes))],
  };
}

/** Of many packets, as a capture has them, those that no workload sends are left out; throws where none is left. */
function prepareAll({ world, macs }: Explainer, packets: readonly PacketQuestion[]) {
  const prepared: Prepared[] = [];
  const faults = new Map<string, number>();
  for (const packet of packets) {
    try {
      prepared.push(prepare(world, macs, packet));
    } catch (error) {
      if (packets.length === 1 || errorCode(error) !== 'question') throw error;
      faults.set(errorMessage(error), (faults.get(errorMessage(error)) ?? 0) + 1);
    }
  }
  const leftOut = [...faults].map(
    ([message, count]) => `left out, ${count} of ${packets.length}: ${message}`,
  );
  if (prepared.length > 0) return { prepared, leftOut };
  throw new HeadgateError('question', 'None of the packets can be traced.', { details: leftOut });
}

/** Most traces that are taken at once; of long frames the engine gives fewer. */
const MOST_TAKEN = 2000;

export async function startLive(
  control: Control,
  { filter, ...more }: z.output<typeof liveBody>,
): Promise<LiveResult> {
  const program = filter === undefined ? {} : { program: compileFilter(filter) };
  const { workload, rule, dropped, bytes } = more;
  const { trace } = await control.ask('startTrace', {
    filter: {
      ...program,
      dropped,
      bytes,
      ...(workload === undefined ? {} : { workload }),
      ...(rule === undefined ? {} : { rule }),
    },
  });
  return { id: trace };
}

export async function takeLive(control: Control, id: number, steps: boolean): Promise<TakenResult> {
  const { traces, lost } = await control.ask('takeTrace', { trace: id, limit: MOST_TAKEN });
  if (!steps) return { traces: traces.map((trace) => answerTo(trace)), lost };
  const explainer = await Explainer.of(control, EXPLAIN_LIVE_MILLISECONDS);
  return { traces: await explainer.answers(traces), lost };
}

export async function stopLive(control: Control, id: number): Promise<Record<string, never>> {
  await control.ask('stopTrace', { trace: id });
  return {};
}

/** The program of a pcap-filter(7) expression. Throws `bad-filter`. */
function compileFilter(expression: string): NonNullable<TraceFilter['program']> {
  try {
    return loadAddon().compileFilter(expression);
  } catch (cause) {
    throw new HeadgateError('bad-filter', `The filter '${expression}': ${errorMessage(cause)}.`, {
      cause,
      remedy:
        "Write it as for tcpdump, like 'tcp port 443': man pcap-filter. Tagged frames: 'vlan and tcp port 443'.",
    });
  }
}

/** Stands in the payload of injected packets, so that tcpdump -A shows it wherever they come by. */
const newMark = (): string => `headgate-trace-${randomBytes(4).toString('hex')}`;

export async function inject(
  control: Control,
  { packet, wait }: z.output<typeof injectBody>,
): Promise<InjectResult> {
  const explainer = await Explainer.of(control, EXPLAIN_MILLISECONDS);
  const mark = newMark();
  const { given, notes } = prepare(explainer.world, explainer.macs, packet, Buffer.from(mark));
  const frame = Buffer.from(given.frame, 'base64');
  const marked = frame.includes(mark) ? { mark } : {};
  const { id } = await startLive(control, { ...answersTo(frame), bytes: 128, dropped: false });
  try {
    const { trace } = await control.ask('inject', given);
    const [answer = answerTo(trace)] = await explainer.answers([trace]);
    const reply =
      answer.outcome === 'delivered'
        ? await awaitReply(control, id, trace, wait)
        : { answered: false, text: 'it was not delivered: no answer is waited for', packets: [] };
    return { trace: { ...answer, reply: { ...marked, ...reply } }, notes };
  } finally {
    await stopLive(control, id).catch(() => undefined);
  }
}

/** A filter for what may come back: frames between both ends, and ICMP errors to the sender; tagged or not. */
function answersTo(frame: Buffer): { filter?: string } {
  const { source, destination } = dissect(frame) ?? {};
  if (source === undefined || destination === undefined) return {};
  const one = `((host ${source} and host ${destination}) or ((icmp or icmp6) and dst host ${source}))`;
  // Each `vlan` is about the next tag.
  return { filter: `${one} or (vlan and ${one}) or (vlan and ${one})` };
}

type Reply = Omit<NonNullable<TraceAnswer['reply']>, 'mark'>;

const POLL_MILLISECONDS = 25;

async function awaitReply(control: Control, id: number, sent: Trace, wait: number): Promise<Reply> {
  const end = performance.now() + wait * 1000;
  for (;;) {
    const { traces } = await control.ask('takeTrace', { trace: id, limit: MOST_TAKEN });
    const found = traces.filter((trace) => isReply(sent, trace));
    const [first] = found;
    if (first !== undefined) {
      const packets = found.slice(0, 10).map((trace) => ({
        packet: packetLine(trace),
        summary: summaryOf(trace),
        verdict: verdictLine(trace),
        milliseconds: Math.max(0, Math.round(trace.time - sent.time)),
      }));
      return { answered: true, text: meaningOf(first), packets };
    }
    const left = end - performance.now();
    if (left <= 0) return { answered: false, text: `nothing came back within ${wait} s`, packets: [] };
    await sleep(Math.min(POLL_MILLISECONDS, left));
  }
}

const UNREACHABLE = { [PROTOCOLS.icmp]: 3, [PROTOCOLS.icmpv6]: 1 } as Record<number, number>;

/** Of the same connection the other way, an ICMP error to the sender, or ARP turned round. */
export function isReply(sent: Trace, trace: Trace): boolean {
  const [there, back] = [sent.headers?.flow, trace.headers?.flow];
  if (there === undefined || back === undefined) return false;
  if (sent.connection !== undefined && trace.connection !== undefined) {
    const isSame = isDeepStrictEqual(sent.connection.flow, trace.connection.flow);
    if (isSame) return sent.connection.reply !== trace.connection.reply;
  }
  if (back.destination !== there.source || trace.headers?.ethertype !== sent.headers?.ethertype) return false;
  const isError = back.icmpType !== undefined && UNREACHABLE[back.protocol] === back.icmpType;
  const isArp = sent.connection === undefined && back.source === there.destination;
  return isError || isArp;
}

function meaningOf({ headers, workload }: Trace): string {
  const { flow, tcpFlags = 0 } = headers ?? {};
  const who = workload ?? flow?.source ?? 'somebody';
  if (flow?.protocol === PROTOCOLS.tcp) {
    if (tcpFlags & RST) return `${who} refuses it: nothing listens on the port`;
    if ((tcpFlags & (SYN | ACK)) === (SYN | ACK)) return `${who} answers: the port is open`;
  }
  if (flow?.icmpType !== undefined)
    return `${who} answers: ${icmpName(flow.source.includes(':') ? 6 : 4, flow.icmpType)}`;
  return `${who} answers`;
}
