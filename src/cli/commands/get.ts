// get: documents in force, rules with their hits, revisions of the store.
import { type Command } from 'commander';
import type {
  DocumentResult,
  RevisionsResult,
  RuleResult,
  UnusedResult,
  UnusedRule,
} from '../../control/api.js';
import type { AppliedTo, DocumentOf, Kind, Selection } from '../../documents/index.js';
import { HeadgateError } from '../../shared/errors.js';
import type { Revision } from '../../store/store.js';
import { ApiClient } from '../client.js';
import { resourceOf } from '../kinds.js';
import { getObserved } from '../observed.js';
import { duration as parseDuration, examples, runDirOption } from '../options.js';
import {
  duration,
  note,
  out,
  outputOption,
  paint,
  print,
  quantity,
  shortPath,
  type Column,
  type Format,
  yamlOf,
} from '../output.js';

interface GetOptions {
  /** Seconds. */
  unused?: number;
  runDir: string;
  output: Format;
}

export function registerGet(program: Command): void {
  examples(
    program
      .command('get')
      .description(
        'show documents in force, rules with their hits, revisions, or what observed rules would drop',
      )
      .argument(
        '<kind>',
        'segment, workload, tracker, edgepair, group, service, securitypolicy, tunnel, serviceportal, servicetag, serviceinsertion, servicechain, host, rules, revisions, observed',
      )
      .argument('[name]', 'only this one; for rules and observed a policy or policy/rule')
      .option(
        '--unused <time>',
        'rules only: those that nothing has hit for so long, such as 30d',
        parseDuration,
      )
      .addOption(outputOption())
      .addOption(runDirOption())
      .action(get),
    [
      ['headgate get workloads', 'all workloads and how they are attached'],
      ['headgate get securitypolicy web -o yaml', 'a document as it can be applied again'],
      ['headgate get rules web', 'the rules of policy web with their hits'],
      ['headgate get rules --unused 30d', 'rules that nothing has hit for 30 days'],
      ['headgate get serviceportals', 'service portals, how they do and what goes through them'],
      ['headgate get observed', 'what rules in observe mode would have dropped, by workload'],
      ['headgate get revisions', 'what rollback can go back to'],
    ],
  );
}

async function get(kind: string, name: string | undefined, options: GetOptions): Promise<void> {
  const resource = resourceOf(kind);
  const client = new ApiClient(options.runDir);
  if (options.unused !== undefined && resource !== 'rules')
    throw new HeadgateError('usage', `--unused is for rules, not for ${kind}.`, {
      remedy: 'headgate get rules --unused 30d',
    });
  if (resource === 'rules' && options.unused !== undefined)
    await getUnused(client, name, options.unused, options.output);
  else if (resource === 'rules') await getRules(client, name, options.output);
  else if (resource === 'observed') await getObserved(client, name, options.output);
  else if (resource === 'revisions') await getRevisions(client, name, options.output);
  else await getDocuments(client, resource, name, options.output);
}

async function getDocuments(
  client: ApiClient,
  kind: Kind,
  name: string | undefined,
  format: Format,
): Promise<void> {
  const path =
    name === undefined ? `/v1/documents/${kind}` : `/v1/documents/${kind}/${encodeURIComponent(name)}`;
  const found = await client.get<DocumentResult[]>(path);
  // YAML is the document as it can be applied again; JSON also has its state and where it came from.
  if (format === 'yaml')
    out(
      found
        .map(({ apiVersion, kind, metadata, spec }) => yamlOf({ apiVersion, kind, metadata, spec }))
        .join('---\n'),
    );
  else print(format, found, columnsOf(kind), name === undefined ? found : found[0]);
}

async function getRules(client: ApiClient, name: string | undefined, format: Format): Promise<void> {
  const rules = (await client.get<RuleResult[]>('/v1/rules')).filter(
    (rule) => name === undefined || rule.id === name || rule.policy === name,
  );
  if (name !== undefined && rules.length === 0) {
    throw new HeadgateError('not-found', `There is no rule and no policy with rules named ${name}.`, {
      remedy: 'headgate get rules lists them.',
    });
  }
  print(format, rules, RULE_COLUMNS);
}

async function getUnused(
  client: ApiClient,
  name: string | undefined,
  seconds: number,
  format: Format,
): Promise<void> {
  const { counted, rules } = await client.get<UnusedResult>(`/v1/rules?unused=${seconds}`);
  const found = rules.filter((rule) => name === undefined || rule.id === name || rule.policy === name);
  print(format, found, UNUSED_COLUMNS, { counted, rules: found });
  if (counted < seconds)
    note(
      `hits are counted for ${duration(counted)} only, since the engine started: what is listed had none in that time`,
    );
  const fresh = found.filter(({ isNew }) => isNew).length;
  if (fresh > 0)
    note(
      `${fresh} of ${found.length} came into force, or back, later than ${duration(counted)} ago: had none since then`,
    );
}

async function getRevisions(client: ApiClient, name: string | undefined, format: Format): Promise<void> {
  if (name === undefined) {
    print(format, await client.get<RevisionsResult>('/v1/revisions'), REVISION_COLUMNS);
    return;
  }
  const revision = await client.get<Revision>(`/v1/revisions/${encodeURIComponent(name)}`);
  print(format, [{ ...revision, documents: revision.documents.length }], REVISION_COLUMNS, revision);
}

const RULE_COLUMNS: Column<RuleResult>[] = [
  { title: 'RULE', value: ({ id }) => id, shrink: true },
  { title: 'SECTION', value: ({ policy, position }) => `${policy} #${position}`, shrink: true },
  { title: 'CATEGORY', value: ({ category }) => category },
  { title: 'DIR', value: ({ direction }) => direction },
  { title: 'ACTION', value: ({ action, mode }) => (mode === 'observe' ? `${action} (observe)` : action) },
  { title: 'FLOWS', value: ({ hits }) => hits && quantity(hits.flows), align: 'right' },
  { title: 'PACKETS', value: ({ hits }) => hits && quantity(hits.packets), align: 'right' },
  { title: 'BYTES', value: ({ hits }) => hits && quantity(hits.bytes), align: 'right' },
  { title: 'WORKLOADS', value: ({ workloads }) => workloads, align: 'right', wide: true },
  { title: 'PRIORITY', value: ({ priority }) => priority, align: 'right', wide: true },
  { title: 'LOG', value: ({ log }) => (log ? 'yes' : 'no'), wide: true },
  { title: 'WHERE', value: ({ file, line }) => `${shortPath(file)}:${line}`, wide: true },
];

const UNUSED_COLUMNS: Column<UnusedRule>[] = [
  { title: 'RULE', value: ({ id }) => id, shrink: true },
  { title: 'SECTION', value: ({ policy, position }) => `${policy} #${position}`, shrink: true },
  { title: 'ACTION', value: ({ action, mode }) => (mode === 'observe' ? `${action} (observe)` : action) },
  {
    title: 'LAST HIT',
    value: ({ lastHit }) => (lastHit === undefined ? 'never' : `${duration(lastHit)} ago`),
  },
  { title: 'NEW', value: ({ isNew }) => (isNew ? 'yes' : 'no') },
  { title: 'WORKLOADS', value: ({ workloads }) => workloads, align: 'right' },
  { title: 'WHERE', value: ({ file, line }) => `${shortPath(file)}:${line}`, wide: true },
];

const REVISION_COLUMNS: Column<RevisionsResult[number]>[] = [
  { title: 'REVISION', value: ({ number }) => number, align: 'right' },
  { title: 'TIME', value: ({ time }) => time },
  { title: 'DOCUMENTS', value: ({ documents }) => documents, align: 'right' },
  { title: 'CAUSE', value: ({ cause }) => cause, shrink: true },
];

type Cell = (document: DocumentResult) => string | number | undefined;

const column = (
  title: string,
  value: Cell,
  extra: Partial<Column<DocumentResult>> = {},
): Column<DocumentResult> => ({ title, value, ...extra });

/** A cell of one kind's documents. The API gives what the schemas of src/documents let through. */
function of<K extends Kind>(_kind: K, value: (document: DocumentOf<K>) => string | number | undefined): Cell {
  return (document) => value(document as unknown as DocumentOf<K>);
}

function columnsOf(kind: Kind): Column<DocumentResult>[] {
  return [
    column('NAME', ({ metadata }) => metadata.name),
    ...KIND_COLUMNS[kind],
    column('LABELS', ({ metadata }) => labelsOf(metadata.labels), { wide: true }),
    column('WHERE', ({ origin }) => `${shortPath(origin.file)}:${origin.line}`, { wide: true }),
  ];
}

const KIND_COLUMNS: Record<Kind, Column<DocumentResult>[]> = {
  Segment: [
    column(
      'VLAN',
      of('Segment', ({ spec }) => [spec.vlan, spec.innerVlan].filter(Boolean).join('.') || undefined),
    ),
    column(
      'VNI',
      of('Segment', ({ spec }) => spec.vni),
    ),
    column(
      'TUNNELS',
      of('Segment', ({ spec }) => shortList(spec.tunnels)),
      { shrink: true },
    ),
    column(
      'TRACKER',
      of('Segment', ({ spec, metadata }) => spec.tracker ?? metadata.name),
    ),
  ],
  Workload: [
    column(
      'SEGMENT',
      of('Workload', ({ spec }) => spec.segment),
    ),
    column(
      'ATTACH',
      of('Workload', ({ spec }) => attachOf(spec)),
      { shrink: true },
    ),
    column(
      'ADDRESSES',
      of('Workload', ({ spec }) => (spec.addresses ?? spec.attach.tap?.addresses)?.join(',') ?? 'any'),
      { shrink: true },
    ),
    column('STATE', ({ status }) => status && paintState(status.state)),
    column('DETAIL', ({ status }) => status?.detail ?? '', { shrink: true }),
    column('MAC', ({ status }) => status?.mac, { wide: true }),
  ],
  Tracker: [
    column(
      'CONNECTIONS',
      of('Tracker', ({ spec }) => spec.limits?.connections),
      { align: 'right' },
    ),
    column(
      'HALF-OPEN',
      of('Tracker', ({ spec }) => spec.limits?.halfOpen),
      { align: 'right' },
    ),
    column(
      'NEW/S',
      of('Tracker', ({ spec }) => spec.limits?.newPerSecond),
      { align: 'right' },
    ),
  ],
  EdgePair: [
    column(
      'SOUTH',
      of('EdgePair', ({ spec }) => spec.south.interface),
    ),
    column(
      'NORTH',
      of('EdgePair', ({ spec }) => spec.north.interface),
    ),
    column(
      'BRIDGES',
      of('EdgePair', ({ spec }) => bridgesOf(spec)),
      { shrink: true },
    ),
    column('STATE', ({ status }) => status && paintState(status.state)),
    column('DETAIL', ({ status }) => status?.detail ?? '', { shrink: true }),
  ],
  Group: [
    column(
      'WORKLOADS',
      of('Group', ({ spec }) => selectorOf(spec.workloads)),
      { shrink: true },
    ),
    column(
      'ADDRESSES',
      of('Group', ({ spec }) => shortList(spec.addresses)),
      { shrink: true },
    ),
    column(
      'GROUPS',
      of('Group', ({ spec }) => shortList(spec.groups)),
      { shrink: true },
    ),
    column(
      'EXCEPT',
      of('Group', ({ spec }) => spec.except && selectionOf(spec.except)),
      { shrink: true },
    ),
  ],
  Service: [
    column(
      'ENTRIES',
      of('Service', ({ spec }) => spec.entries.map(entryOf).join(' ')),
      { shrink: true },
    ),
  ],
  SecurityPolicy: [
    column(
      'CATEGORY',
      of('SecurityPolicy', ({ spec }) => spec.category ?? 'application'),
    ),
    column(
      'PRIORITY',
      of('SecurityPolicy', ({ spec }) => spec.priority ?? 1000),
      { align: 'right' },
    ),
    column(
      'MODE',
      of('SecurityPolicy', ({ spec }) => spec.mode ?? 'enforce'),
    ),
    column(
      'RULES',
      of('SecurityPolicy', ({ spec }) => spec.rules.length),
      { align: 'right' },
    ),
    column(
      'APPLIED-TO',
      of('SecurityPolicy', ({ spec }) => (spec.appliedTo ? selectionOf(spec.appliedTo) : 'all')),
      { shrink: true },
    ),
  ],
  Tunnel: [
    column(
      'ENCAPSULATION',
      of('Tunnel', ({ spec }) => spec.encapsulation),
    ),
    column(
      'LOCAL',
      of('Tunnel', ({ spec }) => spec.local ?? spec.interface),
    ),
    column(
      'REMOTES',
      of('Tunnel', ({ spec }) => shortList(spec.remotes)),
      { shrink: true },
    ),
    column(
      'UNDERLAY',
      of('Tunnel', ({ spec }) => [spec.netns, spec.interface].filter(Boolean).join(' ')),
      { shrink: true },
    ),
  ],
  ServicePortal: [
    column(
      'AT',
      of('ServicePortal', ({ spec }) => portalPlace(spec)),
      { shrink: true },
    ),
    column('STATE', ({ health }) => health && paintHealth(health.state)),
    column('DETAIL', ({ health }) => health && healthDetail(health), { shrink: true }),
    column('SENT', ({ legs }) => legs && quantity(packetsOf(legs, 'sentPackets')), { align: 'right' }),
    column('RETURNED', ({ legs }) => legs && quantity(packetsOf(legs, 'returnedPackets')), {
      align: 'right',
    }),
    column(
      'FAIL',
      of('ServicePortal', ({ spec }) => spec.fail ?? 'closed'),
    ),
    column(
      'ALTERNATES',
      of('ServicePortal', ({ spec }) => shortList(spec.alternates)),
    ),
    column('FAILED PROBES', ({ health }) => health && `${health.failures} of ${health.probes}`, {
      wide: true,
    }),
  ],
  ServiceTag: [
    column(
      'TAG',
      of('ServiceTag', ({ spec }) => spec.tag),
      { align: 'right' },
    ),
    column(
      'CLIENT',
      of('ServiceTag', ({ spec }) => spec.client),
    ),
    column(
      'SERVICE',
      of('ServiceTag', ({ spec }) => spec.service),
    ),
    column(
      'FROM',
      of('ServiceTag', ({ spec }) => spec.from),
    ),
    column(
      'THROUGH',
      of(
        'ServiceTag',
        ({ spec }) => spec.portal ?? (spec.chain === undefined ? undefined : `chain ${spec.chain}`),
      ),
    ),
    column('HOPS: SENT/RETURNED', ({ legs }) => legs && legs.map(legText).join(' '), { shrink: true }),
  ],
  ServiceInsertion: [
    column(
      'CLIENT',
      of('ServiceInsertion', ({ spec }) => spec.client),
    ),
    column(
      'PRIORITY',
      of('ServiceInsertion', ({ spec }) => spec.priority ?? 1000),
      { align: 'right' },
    ),
    column(
      'VIA',
      of('ServiceInsertion', ({ spec }) => spec.via),
    ),
    column(
      'RULES',
      of('ServiceInsertion', ({ spec }) => spec.rules.length),
      { align: 'right' },
    ),
    column(
      'APPLIED-TO',
      of('ServiceInsertion', ({ spec }) => (spec.appliedTo ? selectionOf(spec.appliedTo) : 'all')),
      { shrink: true },
    ),
  ],
  ServiceChain: [
    column(
      'PORTALS',
      of('ServiceChain', ({ spec }) => spec.portals.join(' ')),
      { shrink: true },
    ),
  ],
  Host: [
    column(
      'DEFAULT',
      of('Host', ({ spec }) => spec.default ?? 'allow'),
    ),
    column(
      'NAMESPACES',
      of('Host', ({ spec }) => spec.attach?.namespaces?.join(' ')),
      { shrink: true },
    ),
    column(
      'INTERFACES',
      of('Host', ({ spec }) => spec.attach?.interfaces?.join(' ')),
      { shrink: true },
    ),
  ],
};

type Health = NonNullable<DocumentResult['health']>;
type Leg = NonNullable<DocumentResult['legs']>[number];

function portalPlace({
  workload,
  tunnel,
  remote,
  encapsulation,
  outerVlan,
}: DocumentOf<'ServicePortal'>['spec']): string {
  if (tunnel !== undefined) return `${tunnel} to ${remote ?? ''}`;
  return `${workload ?? ''} ${encapsulation ?? 'vlan'}${outerVlan === undefined ? '' : ` ${outerVlan}`}`;
}

function paintHealth(state: string): string {
  if (state === 'up' || state === 'unchecked') return state;
  return paint('red', state);
}

function healthDetail({ fault, since, state }: Health): string {
  const when = since === undefined ? '' : `${state} for ${duration(since)}`;
  return [when, fault].filter(Boolean).join(': ');
}

/** Of both directions. */
function packetsOf(legs: readonly Leg[], what: 'sentPackets' | 'returnedPackets'): number {
  return legs.reduce((sum, leg) => sum + leg[what][0] + leg[what][1], 0);
}

function legText(leg: Leg): string {
  const { hop, portal, bypassedPackets, refusedPackets } = leg;
  const aside = [
    bypassedPackets > 0 ? `, ${quantity(bypassedPackets)} past it` : '',
    refusedPackets > 0 ? `, ${quantity(refusedPackets)} refused` : '',
  ].join('');
  return `${hop}:${portal} ${quantity(packetsOf([leg], 'sentPackets'))}/${quantity(packetsOf([leg], 'returnedPackets'))}${aside}`;
}

function paintState(state: string): string {
  return state === 'attached' ? state : paint(state === 'failed' ? 'red' : 'yellow', state);
}

function attachOf({ attach }: DocumentOf<'Workload'>['spec']): string {
  if (attach.tap)
    return `tap ${attach.tap.netns === undefined ? '' : `${attach.tap.netns}/`}${attach.tap.name}`;
  return attach.veth ? `veth ${attach.veth.interface}` : `nic ${attach.nic?.interface ?? ''}`;
}

/** `10>110 corp`: south, north, tracker. */
function bridgesOf({ bridges }: DocumentOf<'EdgePair'>['spec']): string | undefined {
  const tags = (outer?: number, inner?: number) => [outer, inner].filter(Boolean).join('.') || 'untagged';
  return shortList(
    bridges.map(
      ({ southVlan, southInnerVlan, northVlan, northInnerVlan, tracker }) =>
        `${tags(southVlan, southInnerVlan)}>${tags(northVlan, northInnerVlan)} ${tracker}`,
    ),
  );
}

function labelsOf(labels: Record<string, string> | undefined): string | undefined {
  const pairs = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? undefined : pairs.join(',');
}

function selectorOf(selector: Selection['workloads']): string | undefined {
  if (selector === undefined) return undefined;
  const parts = [
    labelsOf(selector.matchLabels),
    ...(selector.matchExpressions ?? []).map(({ key, operator, values }) =>
      `${key} ${operator} ${(values ?? []).join('|')}`.trimEnd(),
    ),
    shortList(selector.names),
  ];
  return parts.filter(Boolean).join(' ') || 'all';
}

function selectionOf(selection: Selection & AppliedTo): string {
  const { workloads, addresses, trackers, groups, except } = selection;
  const parts = [
    selectorOf(workloads),
    trackers && `trackers ${selectorOf(trackers)}`,
    shortList(addresses),
    shortList(groups),
  ];
  return [...parts, except && `except ${selectionOf(except)}`].filter(Boolean).join(' ');
}

const MOST_LISTED = 3;

function shortList(values: readonly string[] | undefined): string | undefined {
  if (values === undefined || values.length === 0) return undefined;
  const more = values.length > MOST_LISTED ? ` +${values.length - MOST_LISTED}` : '';
  return `${values.slice(0, MOST_LISTED).join(',')}${more}`;
}

function entryOf({ protocol, ports, icmpType }: DocumentOf<'Service'>['spec']['entries'][number]): string {
  if (ports !== undefined) return `${protocol}/${ports.join(',')}`;
  return icmpType === undefined ? String(protocol) : `${protocol}/${icmpType}`;
}
