// One policy document -> shared rules and index entries, in the engine's terms.
//
// A rule's content is stored once, under its digest, however many rules of the documents say the same. Selections become
// names: a group is `group:NAME`, what a rule lists itself is `inline:` and the selection's text or its digest, and where
// rules apply is `scope:DIGEST`. So what a policy comes to does not depend on what the names stand for, and stays when
// workloads come and go. A selection that finds no address is an empty set: it matches nothing, and is never "any".
import type {
  AppliedTo,
  Rule,
  SecurityPolicyDocument,
  Selection,
  ServiceDocument,
  ServiceEntry,
} from '../documents/index.js';
import { protocolNumber } from '../documents/index.js';
import { parsePorts } from '../documents/fields.js';
import type { EngineProfile, SharedRule } from '../engine/messages.js';
import { formatService } from '../engine/service-text.js';
import { canonical, canonicalOf, digest, nameOf, ruleIds } from './names.js';
import { categoryOf, priorityOf } from './order.js';
import { isFixed } from './resolve.js';
import type { AddressSource, LoweredPolicy, LoweredRule, ScopeSource } from './types.js';

export type Services = ReadonlyMap<string, ServiceDocument>;

/** `checked`: the services that it is known to be right for. */
const loweredBefore = new WeakMap<SecurityPolicyDocument, { lowered: LoweredPolicy; checked: Services }>();

/** Gives back the same object for the same documents. Throws on services that `check` would refuse. */
export function lowerPolicy(document: SecurityPolicyDocument, services: Services): LoweredPolicy {
  const before = loweredBefore.get(document);
  if (before?.checked === services) return before.lowered;
  const isRight = before?.lowered.services.every((one) => services.get(one.metadata.name) === one);
  const lowered = before && isRight ? before.lowered : new PolicyLowering(document, services).lower();
  loweredBefore.set(document, { lowered, checked: services });
  return lowered;
}

class PolicyLowering {
  private readonly used = new Set<ServiceDocument>();
  private readonly addressSets = new Map<string, AddressSource>();
  private readonly scopes = new Map<string, ScopeSource>();
  /** By the text of what they select. */
  private readonly scopeNames = new Map<string, string>();
  private readonly category: number;
  private readonly profile: EngineProfile | undefined;

  constructor(
    private readonly document: SecurityPolicyDocument,
    private readonly services: Services,
  ) {
    this.category = categoryOf(document);
    this.profile = profileOf(document);
  }

  lower(): LoweredPolicy {
    const { document, category, addressSets, scopes } = this;
    const ids = ruleIds(document);
    const rules = document.spec.rules.map((rule, i) => this.rule(rule, i, ids[i] ?? ''));
    const places = new Map(ids.map((id, i) => [id, i]));
    return {
      document,
      name: document.metadata.name,
      priority: priorityOf(document),
      services: [...this.used],
      category,
      profile: this.profile,
      rules,
      places,
      addressSets,
      scopes,
    };
  }

  private rule(rule: Rule, i: number, id: string): LoweredRule {
    const { category, profile } = this;
    const { origin } = this.document;
    const content = this.content(rule);
    const scope = this.scope(rule.appliedTo);
    const direction = rule.direction ?? 'both';
    const { action, mode } = content;
    return {
      reference: { id, file: origin.file, line: origin.rules?.[i] ?? origin.line, action, mode },
      content,
      entry: {
        id,
        digest: `${category}${direction}/${content.key}/${scope.slice(scope.indexOf(':') + 1)}${profile ? `/${profile.name}` : ''}`,
        rule: content.key,
        category,
        direction,
        scope,
        ...(profile && { profile: profile.name }),
      },
    };
  }

  private content(rule: Rule): SharedRule {
    const content: SharedRule = {
      key: '',
      action: rule.action,
      mode: rule.mode ?? this.document.spec.mode ?? 'enforce',
      log: rule.log ?? false,
      onChange: rule.onChange ?? 'reevaluate',
      ...(rule.helper && { helper: rule.helper }),
    };
    if (rule.from) content.sources = this.addressSetsOf(rule.from);
    if (rule.to) content.destinations = this.addressSetsOf(rule.to);
    if (rule.services) content.services = this.servicesOf(rule.services);
    content.key = digest(contentText(content));
    return content;
  }

  /** Names of the address sets whose union the selection is; never none. */
  private addressSetsOf(selection: Selection): string[] {
    // What is excluded is excluded of all: such a selection is one set, and its groups are in it.
    if (selection.except) return [this.inlineSet(selection)];
    const { groups = [], workloads, addresses } = selection;
    if (groups.length === 0) return [this.inlineSet(selection)];
    const names = groups.map((group) => this.groupSet(group));
    if (workloads || addresses)
      names.push(this.inlineSet({ ...(workloads && { workloads }), ...(addresses && { addresses }) }));
    return names.length === 1 ? names : [...new Set(names)].sort();
  }

  private groupSet(group: string): string {
    const name = `group:${group}`;
    this.addressSets.set(name, group);
    return name;
  }

  private inlineSet(selection: Selection): string {
    const text = isFixed(selection) ? selection.addresses.join() : canonical(selection);
    const name = `inline:${nameOf(text)}`;
    this.addressSets.set(name, selection);
    return name;
  }

  /** The scope of a rule: its policy's appliedTo and its own, both. Absent: all workloads and trackers. */
  private scope(rule: AppliedTo | undefined): string {
    const policy = this.document.spec.appliedTo;
    const text = `${policy ? canonicalOf(policy) : ''} ${rule ? canonical(rule) : ''}`;
    let name = this.scopeNames.get(text);
    if (name === undefined) {
      name = `scope:${digest(text)}`;
      this.scopeNames.set(text, name);
      this.scopes.set(name, { policy, rule });
    }
    return name;
  }

  private servicesOf(listed: NonNullable<Rule['services']>): string[] {
    const texts: string[] = [];
    for (const one of listed) {
      if (typeof one === 'string') texts.push(...this.textsOfNamed(one));
      else texts.push(textOf(one));
    }
    return texts;
  }

  private textsOfNamed(name: string): string[] {
    const service = this.services.get(name);
    if (!service) throw new Error(`service "${name}" does not exist`);
    this.used.add(service);
    return textsOf(service);
  }
}

/** What the policy says of connections, under a name of its content; absent where it says nothing. */
export function profileOf({
  spec: { tracking, timeouts },
}: SecurityPolicyDocument): EngineProfile | undefined {
  const says = {
    ...(tracking && { tracking }),
    ...(timeouts && Object.keys(timeouts).length > 0 && { timeouts }),
  };
  return Object.keys(says).length > 0 ? { name: digest(canonical(says)), ...says } : undefined;
}

/** All that the rule says, in few characters. */
function contentText({
  sources,
  destinations,
  services,
  action,
  mode,
  log,
  onChange,
  helper,
}: SharedRule): string {
  const ends = `${sources?.join(' ') ?? '*'}>${destinations?.join(' ') ?? '*'}`;
  return `${action}${helper ?? ''} ${mode} ${log} ${onChange} ${ends} ${services?.join(' ') ?? '*'}`;
}

const textsBefore = new WeakMap<ServiceDocument, string[]>();

function textsOf(service: ServiceDocument): string[] {
  const texts = textsBefore.get(service) ?? service.spec.entries.map(textOf);
  textsBefore.set(service, texts);
  return texts;
}

/** A service entry in the engine's terms. */
function textOf({ protocol, ports, sourcePorts, icmpType, icmpCode }: ServiceEntry): string {
  return formatService({
    protocol: protocolNumber(protocol) as number,
    ...(ports && { ports: ports.map(boundsOf) }),
    ...(sourcePorts && { sourcePorts: sourcePorts.map(boundsOf) }),
    ...(icmpType !== undefined && { icmpType }),
    ...(icmpCode !== undefined && { icmpCode }),
  });
}

/** Of ports that were checked when they were read. */
function boundsOf(ports: number | string): [number, number] {
  return parsePorts(ports) as [number, number];
}
