/** Log probabilities of chosen tokens and of their alternatives. */
import { beforeEdits, type Edits } from './edits.ts';
import type { Report } from './state.ts';

/** A token and its log probability. */
export interface Logprob {
  readonly id: number;
  /** Natural logarithm of the probability that the model itself gives, whatever temperature, penalties and masks do after. */
  readonly logprob: number;
}

/** The log probability of a chosen token, and its alternatives. */
export interface Logprobs extends Logprob {
  /** The most probable tokens, descending; the chosen one need not be among them. */
  readonly top: readonly Logprob[];
}

/** @param edits of the choice: they are taken back from the chosen token's logit */
export function logprobsOf(id: number, report: Report, edits: Edits | undefined, top: number): Logprobs {
  const logSum = report.best + Math.log(report.sum);
  const logit = edits ? beforeEdits(edits, id, report.chosen) : report.chosen;
  const listed: Logprob[] = [];
  for (let i = 0; i < Math.min(top, report.ids.length); i++)
    listed.push({ id: report.ids[i] as number, logprob: (report.logits[i] as number) - logSum });
  return { id, logprob: logit - logSum, top: listed };
}
