// One alternative of a rule's services as text, the form in which messages carry it: a rule set names the same few
// services over and over, and a text costs a fraction of what lists in lists do.
//
//   6                       a protocol
//   6/80,8000-8100          with destination ports
//   17//53                  with source ports; destination ports may stand between
//   1/8  58/1/4             ICMP and ICMPv6: with type, with type and code

/** An absent field means any. */
export interface ServiceMatch {
  protocol: number;
  ports?: [number, number][];
  sourcePorts?: [number, number][];
  icmpType?: number;
  icmpCode?: number;
}

const PORT = String.raw`\d{1,5}(-\d{1,5})?`;
const PORTS = `(${PORT}(,${PORT}){0,1023})?`;
/** The form alone: the addon refuses numbers that are too great (native-bindings/tables/service_text.cc). */
export const SERVICE_TEXT = new RegExp(`^\\d{1,3}(/${PORTS}){0,2}$`);

const ICMP = [1, 58];

export function formatService({ protocol, ports, sourcePorts, icmpType, icmpCode }: ServiceMatch): string {
  let text = String(protocol);
  if (icmpType !== undefined) text += `/${icmpType}`;
  if (icmpCode !== undefined) text += `/${icmpCode}`;
  if (ports || sourcePorts) text += `/${formatPorts(ports)}`;
  if (sourcePorts) text += `/${formatPorts(sourcePorts)}`;
  return text;
}

function formatPorts(ports: [number, number][] | undefined): string {
  return ports?.map(([first, last]) => (first === last ? String(first) : `${first}-${last}`)).join() ?? '';
}

/** Of a text that `formatService` made. */
export function parseService(text: string): ServiceMatch {
  const [protocol, second = '', third = ''] = text.split('/');
  const match: ServiceMatch = { protocol: Number(protocol) };
  if (ICMP.includes(match.protocol)) {
    if (second !== '') match.icmpType = Number(second);
    if (third !== '') match.icmpCode = Number(third);
  } else {
    if (second !== '') match.ports = parsePorts(second);
    if (third !== '') match.sourcePorts = parsePorts(third);
  }
  return match;
}

function parsePorts(text: string): [number, number][] {
  return text.split(',').map((one) => {
    const [first = '', last = first] = one.split('-');
    return [Number(first), Number(last)];
  });
}
