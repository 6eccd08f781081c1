/** Which pass runs by which compiled steps. Programs are made when they are first wanted, and kept. */
import type { Device } from '../devices/types.ts';
import { compileSteps, type Program } from './encode.ts';
import {
  type Choice,
  type ChoiceExtras,
  type PassChoice,
  planBatch,
  planChoice,
  planDecode,
  planOutput,
  planPooled,
  planPrefill,
} from './plan.ts';
import { projectedKeys } from './plan-attention.ts';
import { planCopy, planShift } from './plan-cache.ts';
import type { PlanOptions, Step } from './steps.ts';
import { columnsFor, widthOf } from './variants.ts';

/**
 * Which pass: over a prompt without logits, with logits and choice, or one that continues itself on the GPU from
 * `position` on. A choice may also be a pass by itself (`choice`), behind one with the choice `none`: what it depends on, such
 * as edits that the last token decides about, then reaches the GPU while that one is computed.
 */
export type Pass =
  | { readonly kind: 'prompt' }
  | ({ readonly kind: 'ending'; readonly choice: Choice } & ChoiceExtras)
  | ({ readonly kind: 'decode'; readonly choice: Choice; readonly position: number } & ChoiceExtras)
  | ({ readonly kind: 'choice'; readonly choice: PassChoice } & ChoiceExtras)
  | { readonly kind: 'output' }
  /** The next tokens of several sequences, to their logits. */
  | { readonly kind: 'batch' }
  /** A prompt whose states are added up. */
  | { readonly kind: 'pooled' };

export interface Programs {
  /** Of a pass over so many columns, none of which sees more than so many keys (default 1, its own). */
  of(pass: Pass, columns: number, keys?: number): Promise<Program>;
  /** Copies the beginning of a slot to another one. */
  copy(): Promise<Program>;
  /** Drops positions from a slot. */
  shift(): Promise<Program>;
  /** Forgets all: buffers that they are bound to are going to be others. */
  clear(): void;
}

/**
 * @param find the buffers by the plan's names, as they are when a program is made
 * @param fastBatch passes over many sequences take the kernels of prompts: see RunnerOptions
 */
export function createPrograms(
  device: Device,
  plan: PlanOptions,
  find: (name: string) => GPUBuffer | undefined,
  fastBatch = false,
): Programs {
  const { traits } = device;
  const mostProjected = projectedKeys(plan);
  const programs = new Map<string, Promise<Program>>();
  const program = (key: string, steps: () => readonly Step[]) => {
    let compiled = programs.get(key);
    if (!compiled) {
      compiled = compileSteps(device, steps(), find);
      programs.set(key, compiled);
    }
    return compiled;
  };
  return {
    of(pass, columns, keys = 1) {
      const width = widthOf(traits, columns, plan.preferences);
      if (pass.kind === 'prompt') return program(`prompt ${width}`, () => planPrefill(plan, width, undefined));
      if (pass.kind === 'output') return program('output', () => planOutput(plan));
      if (pass.kind === 'pooled') return program(`pooled ${width}`, () => planPooled(plan, width));
      if (pass.kind === 'batch') {
        const some = fastBatch ? width : columnsFor(traits, columns);
        return program(`batch ${some}`, () => planBatch(plan, some));
      }
      const { choice } = pass;
      const what = `${pass.kind} ${choice} ${extrasKey(pass)}`;
      if (pass.kind === 'choice') return program(what, () => planChoice(plan, choice, pass));
      if (pass.kind === 'ending') return program(`${what} ${width}`, () => planPrefill(plan, width, pass.choice, pass));
      const decode = (most: number) =>
        program(`${what} ${most <= mostProjected ? 'projected' : ''}`, () => planDecode(plan, pass.choice, pass, most));
      // a text that grows finds what it is going to need compiled
      if (keys <= mostProjected && 2 * keys > mostProjected && plan.context > mostProjected)
        decode(2 * keys).catch(() => undefined);
      return decode(keys);
    },
    copy: () => program('copy', () => planCopy(plan)),
    shift: () => program('shift', () => planShift(plan)),
    clear: () => programs.clear(),
  };
}

function extrasKey({ edited, reported, listed }: ChoiceExtras): string {
  return `${edited ? 'edited ' : ''}${reported ? 'reported ' : ''}${listed ? 'listed' : ''}`;
}
