// Commits to the file store in the folder it is given, as fast as it can, one document changed each time, and writes each
// acknowledged number to standard output, until it is killed. Runs the compiled store: `npm run build:ts` first.
import { writeSync } from 'node:fs';
import { FileStore } from '../../dist/store/file-store.js';

const store = await FileStore.open(process.argv[2]);
const documents = Array.from({ length: 200 }, (_, i) => ({
  kind: 'Group',
  metadata: { name: `g${i}` },
  spec: {},
}));
for (let i = 0; ; i++) {
  documents[i % 200] = {
    kind: 'Group',
    metadata: { name: `g${i % 200}` },
    spec: { addresses: [`10.0.0.${i % 256}`] },
  };
  writeSync(1, `${(await store.commit('apply', documents)).number}\n`);
}
