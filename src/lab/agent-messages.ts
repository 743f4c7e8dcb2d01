// What is said to the traffic agents inside the namespaces, and what they answer.

/**
 * How an attempt ended. reached: the other side's answer came back. refused: an RST or an ICMP error said no.
 * silent: nothing came within the time.
 */
export interface Answer {
  outcome: 'reached' | 'refused' | 'silent';
  detail: string;
}

export interface SequenceCount {
  received: number;
  repeated: number;
}

export type Command =
  /** Answer on these ports, IPv4 and IPv6, with what came in. */
  | { do: 'listen'; tcp: number[]; udp: number[] }
  | { do: 'tcp' | 'udp'; to: string; port: number; timeoutMs: number }
  | { do: 'ping'; to: string; timeoutMs: number }
  /** Open a TCP connection and keep it under a name; later `use` it: send a word and await its echo. */
  | { do: 'hold'; name: string; to: string; port: number; timeoutMs: number }
  | { do: 'use'; name: string; timeoutMs: number }
  /** Send numbered datagrams; the result counts those that were echoed. */
  | { do: 'sequence'; to: string; port: number; count: number; intervalMs: number }
  /** How many numbered datagrams have come in on the UDP port. */
  | { do: 'counted'; port: number };

export interface Reply {
  id: number;
  result?: Answer | SequenceCount | null;
  error?: string;
}
