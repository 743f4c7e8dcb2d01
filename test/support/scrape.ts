// One GET on a unix socket, as a scraper of metrics makes it.
import { request } from 'node:http';

export function get(
  socketPath: string,
  path: string,
  method = 'GET',
): Promise<{ status: number; type: string; text: string }> {
  return new Promise((done, reject) => {
    const call = request({ socketPath, path, method }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () =>
        done({ status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', text }),
      );
    });
    call.on('error', reject);
    call.end();
  });
}

/** What control counts, in the text format of Prometheus. */
export const scrape = async (socketPath: string): Promise<string> => (await get(socketPath, '/metrics')).text;
