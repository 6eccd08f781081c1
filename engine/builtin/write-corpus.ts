/** Writes documents as JSON lines: `node --import tsx engine/builtin/write-corpus.ts FILE FIRST_SEED COUNT`. */
import { writeFileSync } from 'node:fs';
import { makeDocument } from './corpus.ts';

const [file, first, count] = process.argv.slice(2);
if (!file || !first || !count) throw new Error('write-corpus.ts needs FILE FIRST_SEED COUNT');
const lines = Array.from({ length: Number(count) }, (_, index) => JSON.stringify(makeDocument(Number(first) + index)));
writeFileSync(file, `${lines.join('\n')}\n`);
