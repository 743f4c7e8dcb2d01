// Holds requests and answers of the HTTP API against its OpenAPI document.
import { expect } from 'vitest';
import { z } from 'zod';
import { openApi } from '../../src/control/openapi.js';
import { ROUTES } from '../../src/control/routes.js';

type Schema = Parameters<typeof z.fromJSONSchema>[0];

export interface Operation {
  operationId: string;
  summary: string;
  parameters: { name: string; in: string }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, { content: Record<string, { schema: Schema }> }>;
}

export interface OpenApi {
  openapi: string;
  info: { version: string };
  paths: Record<string, Record<string, Operation>>;
}

export const DOCUMENT = openApi(ROUTES, '0.0.0-test') as OpenApi;

/** `GET /v1/rules` and so on, with their operations. */
export const OPERATIONS = new Map<string, Operation>(
  Object.entries(DOCUMENT.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(
      ([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as const,
    ),
  ),
);

/** The key in OPERATIONS; undefined for what the API does not have. */
export function operationOf(method: string, url: string): string | undefined {
  const path = url.split('?')[0] ?? '';
  return [...OPERATIONS.keys()].find((key) => {
    const pattern = (key.split(' ')[1] ?? '').replace(/\{\w+\}/g, '[^/]+').replaceAll('.', '\\.');
    return key.startsWith(`${method} `) && new RegExp(`^${pattern}$`).test(path);
  });
}

/** Fails where the body is not what the document says of this operation and status. */
export function checkAnswer(method: string, url: string, status: number, body: unknown): void {
  const operation = OPERATIONS.get(operationOf(method, url) ?? 'GET /v1/status');
  const schema =
    operation?.responses[status === 200 ? '200' : 'default']?.content['application/json']?.schema;
  checkBody(schema, body, `${method} ${url} answers ${status}`);
}

export function checkRequest(method: string, url: string, body: unknown): void {
  const operation = OPERATIONS.get(operationOf(method, url) ?? '');
  checkBody(operation?.requestBody?.content['application/json']?.schema, body, `${method} ${url} is asked`);
}

function checkBody(schema: Schema | undefined, body: unknown, what: string): void {
  expect(schema, what).toBeDefined();
  const { error } = z.fromJSONSchema(schema ?? false).safeParse(body);
  if (error) throw new Error(`${what} ${JSON.stringify(body)}: ${z.prettifyError(error)}`);
}
