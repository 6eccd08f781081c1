/** Opening and closing for the commands that make a model compute. */
import { basename } from 'node:path';
import { openDevice } from '../devices/open.ts';
import type { Device } from '../devices/types.ts';
import { createDurableSession } from '../engine/durable-session.ts';
import type { Model } from '../engine/model.ts';
import type { Session } from '../engine/session.ts';
import { streamedBytes } from '../engine/streaming.ts';
import { openModel } from '../loaders/named.ts';
import type { Values } from './arguments.ts';
import { formatBudget } from './memory-lines.ts';
import { type ADAPTER_FLAG, loadOptions, type ModelFlags, tuningMode, wantedAdapter } from './model-flags.ts';
import { describeAdapter, mebibytes, note, startProgress } from './output.ts';
import { tuningFor } from './tuning.ts';

export function openAdapter(flags: Values<typeof ADAPTER_FLAG>): Promise<Device> {
  return openDevice({ adapter: wantedAdapter(flags), onNotice: (line) => note(`firstlight: ${line}`) });
}

/** Opens a model for `work` and closes all behind it. Unless `quiet`, stderr is told what runs where. */
export async function withSession(
  model: string,
  flags: ModelFlags & { readonly quiet?: boolean | undefined },
  signal: AbortSignal,
  work: (session: Session) => Promise<void>,
): Promise<void> {
  // damaged files before the GPU: that error is the quicker and the more useful one
  const checkpoint = await openModel(model);
  try {
    let progress = startProgress('loading', 'bytes');
    const session = await createDurableSession({
      checkpoint,
      openDevice: () => openAdapter(flags),
      load: { ...loadOptions(flags), onProgress: (done, total) => progress.update(done, total), signal },
      session: async (loaded) => {
        progress.end();
        return { tuning: await tuningFor(loaded, tuningMode(flags)) };
      },
      onFault(line) {
        progress.end();
        progress = startProgress('loading', 'bytes');
        note(`firstlight: ${line}`);
      },
    }).finally(() => progress.end());
    try {
      if (!flags.quiet) note(describePlacement(session));
      const streaming = describeStreaming(session.model);
      if (streaming) note(`firstlight: ${streaming}`);
      await work(session);
    } finally {
      await session.close();
    }
  } finally {
    await checkpoint.close();
  }
}

function describePlacement({ model, context }: Session): string {
  const { weights, kv } = model.memory();
  const place = describeAdapter(model.device.traits);
  return (
    `${basename(model.path)} on ${place}: weights ${mebibytes(weights)} (${model.weightsOption}), ` +
    `KV ${mebibytes(kv)} (${model.kv}), context ${context}; at load ${formatBudget(model.plan.budget)}`
  );
}

/** Where not all fits; undefined where it does. */
export function describeStreaming({ stream, plan, weights, config }: Model): string | undefined {
  if (!stream) return undefined;
  const bytes = streamedBytes(weights, plan.residentLayers);
  const { bytesPerSecond } = stream;
  const { wholeContext } = plan;
  const advice = wholeContext > 0 ? `; with a context of at most ${wholeContext} all would fit` : '';
  return (
    `not all of the model fits: ${config.layers - plan.residentLayers} of ${config.layers} layers, ${mebibytes(bytes)}, are ` +
    `brought to the GPU for every token, at ${mebibytes(bytesPerSecond)}/s by the first of them: ` +
    `about ${(bytesPerSecond / bytes).toFixed(2)} tok/s${advice}`
  );
}
