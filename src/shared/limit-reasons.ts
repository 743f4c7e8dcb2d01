// The reasons of drops by which a workload's limits refuse a new connection.
export const LIMIT_REASONS = ['connections-quota', 'connections-rate', 'half-open-quota'] as const;
