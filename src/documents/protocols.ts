// Names and numbers of IP protocols.

/** IANA protocol numbers of the names that documents may use. */
export const PROTOCOLS = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132 } as const;

export const PROTOCOL_NAMES = Object.keys(PROTOCOLS);

/** `tcp`, `6` or `"6"` as a number. */
export function protocolNumber(value: string | number): number | undefined {
  if (typeof value === 'string' && Object.hasOwn(PROTOCOLS, value))
    return PROTOCOLS[value as keyof typeof PROTOCOLS];
  const number = typeof value === 'number' ? value : /^\d{1,3}$/.test(value) ? Number(value) : -1;
  return Number.isInteger(number) && number >= 0 && number <= 255 ? number : undefined;
}

/** `tcp` for 6; the number itself where there is no name. */
export function protocolName(number: number): string {
  return (
    PROTOCOL_NAMES.find((name) => PROTOCOLS[name as keyof typeof PROTOCOLS] === number) ?? String(number)
  );
}
