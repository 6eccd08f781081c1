/** Test data beside the repository, which a checkout need not have. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../shared/data/', import.meta.url));

export const hasSharedData = existsSync(root);

/** Where a file of the shared data is. */
export function sharedPath(name: string): string {
  return root + name;
}

export function readSharedJson(name: string): unknown {
  return JSON.parse(readFileSync(sharedPath(name), 'utf8'));
}

/** Says how many cases do not run for lack of the data. */
export function reportSkipped(file: string, cases: number): void {
  console.log(`${file}: ${cases} tests skipped, no ../shared/data`);
}

/** Skips the test of a model that is not there. */
export function skipModel(test: { skip(name?: string): void }, name: string): void {
  test.skip(`${name}: no shared data`);
  reportSkipped(name, 1);
}
