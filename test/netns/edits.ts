// Random edits of a datacenter's documents, of all kinds: rules, their order, scopes, groups, services, workloads.
// What is taken out is kept, and comes back later.
import { draftsOf, generateDatacenter, type Draft } from '../../src/lab/generate/datacenter.js';
import type { Random } from '../../src/lab/generate/random.js';

type Fields = Record<string, unknown>;

export class EditedDatacenter {
  drafts: Draft[];
  readonly original: readonly Draft[];
  readonly counts: Record<string, number> = {};
  private readonly spareRules: Fields[] = [];
  private readonly spareDrafts: Draft[] = [];
  private made = 0;

  constructor(
    size: { rules: number; workloads: number },
    private readonly random: Random,
  ) {
    // Whatever the verdict was before, the next frame gets the new one: no rule says `keep` or `reset`.
    const judgedAnew = (rule: Fields) =>
      Object.fromEntries(Object.entries(rule).filter(([name]) => name !== 'onChange'));
    this.original = draftsOf(generateDatacenter(size, random)).map((draft) => {
      const { kind, name, spec } = draft;
      if (kind === 'SecurityPolicy') return withRules(draft, rulesOf(draft).map(judgedAnew));
      if (kind === 'Host') return { ...draft, spec: { ...spec, default: 'allow' } };
      // Two hundred addresses would take the oracle most of its time.
      return name.startsWith('feed-') ? { ...draft, spec: { addresses: ['198.18.0.0/15'] } } : draft;
    });
    this.drafts = [...this.original];
  }

  /** One edit; objects that it does not touch stay the same. */
  edit(): void {
    const edits: Record<string, () => boolean> = {
      'rule changed': () => this.changeRule(),
      'rule removed': () => this.removeRule(),
      'rule added': () => this.addRule(),
      'policy moved': () => this.inPolicy((spec) => ({ ...spec, priority: this.random.between(0, 2000) })),
      'scope changed': () => this.changeScope(),
      'group changed': () => this.changeGroup(),
      'service changed': () => this.changeService(),
      'workload relabelled': () => this.relabel(),
      'policy or workload removed': () => this.takeOut(),
      'policy or workload back': () => this.putBack(),
    };
    for (;;) {
      const name = this.random.pick(Object.keys(edits));
      if (edits[name]?.() !== true) continue;
      this.counts[name] = (this.counts[name] ?? 0) + 1;
      return;
    }
  }

  /** Back to what it was at first. */
  reset(): void {
    this.drafts = [...this.original];
    this.spareDrafts.length = 0;
  }

  private some(kind: string): Draft[] {
    return this.drafts.filter((draft) => draft.kind === kind);
  }

  private replace(old: Draft, now: Draft): true {
    this.drafts = this.drafts.map((draft) => (draft === old ? now : draft));
    return true;
  }

  private inPolicy(change: (spec: Fields) => Fields | undefined): boolean {
    const policy = this.random.pick(this.some('SecurityPolicy'));
    const spec = change(policy.spec);
    return spec !== undefined && this.replace(policy, { ...policy, spec });
  }

  private inRules(change: (rules: Fields[]) => Fields[] | undefined): boolean {
    return this.inPolicy((spec) => {
      const rules = change([...(spec['rules'] as Fields[])]);
      return rules && { ...spec, rules };
    });
  }

  private changeRule(): boolean {
    const { random } = this;
    return this.inRules((rules) => {
      const i = random.below(rules.length);
      const action = random.pick(
        ['allow', 'drop', 'reject', 'pass'].filter((one) => one !== rules[i]?.['action']),
      );
      rules[i] = {
        ...rules[i],
        action,
        ...(random.chance(0.2) && { direction: random.pick(['in', 'out', 'both']) }),
      };
      return rules;
    });
  }

  private removeRule(): boolean {
    return this.inRules((rules) => {
      if (rules.length < 2) return undefined;
      this.spareRules.push(...rules.splice(this.random.below(rules.length), 1));
      return rules;
    });
  }

  private addRule(): boolean {
    const rule = this.spareRules.splice(this.random.below(this.spareRules.length), 1)[0];
    if (rule === undefined) return false;
    return this.inRules((rules) => {
      rules.splice(this.random.below(rules.length + 1), 0, { ...rule, name: `made-${this.made++}` });
      return rules;
    });
  }

  private changeScope(): boolean {
    const { appliedTo } = this.random.pick(this.some('SecurityPolicy')).spec;
    return appliedTo !== undefined && this.inPolicy((spec) => ({ ...spec, appliedTo }));
  }

  /** Selects what another group selects. Groups of groups stay as they are: no circles. */
  private changeGroup(): boolean {
    const flat = this.some('Group').filter(({ spec }) => spec['workloads'] !== undefined);
    const [one, other] = [this.random.pick(flat), this.random.pick(flat)];
    return one !== other && this.replace(one, { ...one, spec: other.spec });
  }

  private changeService(): boolean {
    const service = this.random.pick(this.some('Service'));
    const other = this.random.pick(this.some('Service'));
    return service !== other && this.replace(service, { ...service, spec: other.spec });
  }

  private relabel(): boolean {
    const workload = this.random.pick(this.some('Workload'));
    const { labels } = this.random.pick(this.some('Workload'));
    return labels !== undefined && this.replace(workload, { ...workload, labels });
  }

  private takeOut(): boolean {
    const draft = this.random.pick([...this.some('SecurityPolicy'), ...this.some('Workload')]);
    if (this.some(draft.kind).length <= this.original.filter(({ kind }) => kind === draft.kind).length / 2)
      return false;
    this.spareDrafts.push(draft);
    this.drafts = this.drafts.filter((one) => one !== draft);
    return true;
  }

  private putBack(): boolean {
    const draft = this.spareDrafts.splice(this.random.below(this.spareDrafts.length), 1)[0];
    if (draft === undefined) return false;
    this.drafts = [...this.drafts, draft];
    return true;
  }
}

const rulesOf = (policy: Draft): Fields[] => policy.spec['rules'] as Fields[];
const withRules = (policy: Draft, rules: Fields[]): Draft => ({ ...policy, spec: { ...policy.spec, rules } });
