// Names for completion: kinds, and what the running control has of a kind. Whatever goes wrong, there are just none.
import type { DocumentResult, RevisionsResult, RuleResult } from '../../control/api.js';
import { KINDS } from '../../documents/types.js';
import { defaultPaths } from '../../shared/paths.js';
import { ApiClient } from '../client.js';
import { resourceOf, type Resource } from '../kinds.js';

/** Who presses a key does not want to wait for a control that hangs. */
const PATIENCE_MILLISECONDS = 1000;

/** `what`: how the help calls the argument or the option's value; `given`: the arguments before it. */
export async function names(what: string, given: string[], runDir?: string): Promise<string[]> {
  if (what === 'kind') return [...KINDS.map((kind) => kind.toLowerCase()), 'rules', 'revisions'];
  const client = new ApiClient(runDir ?? defaultPaths().runDir);
  const asked = ask(client, what, given).catch(() => []);
  return Promise.race([asked, patience()]);
}

async function ask(client: ApiClient, what: string, given: string[]): Promise<string[]> {
  if (what === 'name') return known(client, resourceOf(given[0] ?? ''));
  if (what === 'revision') return known(client, 'revisions');
  if (what === 'workload' || what.startsWith('workload|')) return known(client, 'Workload');
  if (what === 'tracker') return known(client, 'Tracker');
  if (what === 'rule') {
    const rules = await client.get<RuleResult[]>('/v1/rules');
    return [...rules.map(({ id }) => id), 'default'];
  }
  return [];
}

async function known(client: ApiClient, resource: Resource): Promise<string[]> {
  if (resource === 'rules') {
    const rules = await client.get<RuleResult[]>('/v1/rules');
    return [...new Set(rules.flatMap(({ policy, id }) => [policy, id]))];
  }
  if (resource === 'revisions') {
    const revisions = await client.get<RevisionsResult>('/v1/revisions');
    return revisions.map(({ number }) => String(number));
  }
  const documents = await client.get<DocumentResult[]>(`/v1/documents/${resource}`);
  return documents.map(({ metadata }) => metadata.name);
}

function patience(): Promise<string[]> {
  return new Promise((resolve) => {
    setTimeout(() => resolve([]), PATIENCE_MILLISECONDS).unref();
  });
}
