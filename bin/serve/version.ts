/** Which version of firstlight this is. */
import { readFileSync } from 'node:fs';

export function ownVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL(import.meta.resolve('firstlight/package.json')), 'utf8'));
  return version;
}
