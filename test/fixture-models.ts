/** The miniature models in test/fixtures, with logits from transformers; see fixtures/make.py. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { unzipSync } from 'fflate';
import type { Checkpoint } from '../loaders/types.ts';
import { decodeRows } from '../quant/file-types.ts';
import type { Weights } from './gguf-conventions.ts';

const folder = fileURLToPath(new URL('./fixtures/', import.meta.url));

/** Their names, `gemma2` and the like. */
export const FIXTURES = readdirSync(folder)
  .filter((name) => name.endsWith('.zip'))
  .map((name) => name.slice(0, -'.zip'.length));

export interface FixtureRun {
  readonly promptIds: readonly number[];
  /** What follows the prompt when the best logit always wins, and by how much each did. */
  readonly greedyIds: readonly number[];
  readonly gaps: readonly number[];
  /** Positions that a session must have for these logits; undefined: any. */
  readonly context: number | undefined;
  /** Logits after each prompt id, [promptIds.length][vocab]. */
  readonly rows: readonly Float32Array[];
}

/** For openCheckpoint: a zip archive of config.json, model.safetensors and what is expected. */
export function fixturePath(name: string): string {
  return `${folder}${name}.zip`;
}

/** The runs whose results are known. */
export function fixtureRuns(name: string): FixtureRun[] {
  const files = unzipSync(readFileSync(fixturePath(name)));
  const { runs } = JSON.parse(Buffer.from(files['expected.json']!).toString());
  const all = new Float32Array(files['logits.f32']!.slice().buffer);
  const positions = runs.reduce((sum: number, { prompt_ids: ids }: { prompt_ids: number[] }) => sum + ids.length, 0);
  const vocab = all.length / positions;
  let row = 0;
  return runs.map(
    (run: { prompt_ids: number[]; greedy_ids: number[]; gaps: number[]; context: number | null }): FixtureRun => ({
      promptIds: run.prompt_ids,
      greedyIds: run.greedy_ids,
      gaps: run.gaps,
      context: run.context ?? undefined,
      rows: run.prompt_ids.map(() => all.subarray(row * vocab, ++row * vocab)),
    }),
  );
}

/** All tensors of a small checkpoint. */
export async function readWeights({ tensors, readRows }: Checkpoint): Promise<Map<string, Weights>> {
  const weights = new Map<string, Weights>();
  for (const { name, type, rows, cols } of tensors.values()) {
    const values = decodeRows(type, await readRows(name, 0, rows), rows, cols);
    weights.set(name, { shape: rows === 1 ? [cols] : [rows, cols], values });
  }
  return weights;
}

export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs((a[i] as number) - (b[i] as number)));
  return most;
}
