/** Run by estimate.test.ts under a memory cap: plans, loads and uses a model, and says how that went. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDevice } from '../../devices/open.ts';
import type { Estimate } from '../../engine/estimate.ts';
import { type LoadOptions, loadModel } from '../../engine/model.ts';
import { createSession } from '../../engine/session.ts';
import type { LlamaConfig } from '../../loaders/types.ts';
import { FirstlightError } from '../../quant/errors.ts';
import type { FileType } from '../../quant/file-types.ts';
import { blankCheckpoint } from '../blank-model.ts';
import { type FakeMachine, writeMachine } from '../fake-machines.ts';
import { SMALL_LLAMA } from '../random-model.ts';

export interface BlankLoad {
  readonly config: Partial<LlamaConfig>;
  readonly type: FileType;
  readonly options?: LoadOptions;
  /** Stands for the machine's /proc and /sys. */
  readonly machine?: FakeMachine;
  /** Of the session; default as planned. */
  readonly sessionContext?: number;
  /** To generate; default 0. */
  readonly tokens?: number;
  /** The device passes for a Steam Deck's while the load is planned; there is no session then. */
  readonly asDeck?: boolean;
}

export interface BlankResult {
  readonly plan: Estimate | undefined;
  /** Of the error that ended it. */
  readonly code: string | undefined;
  readonly message: string;
  /** Bytes that the device holds at the end. */
  readonly heldBytes: number;
  /** That were generated. */
  readonly tokens: number;
}

async function loadBlank(load: BlankLoad): Promise<BlankResult> {
  const { config, type, options, machine, sessionContext, tokens: maxTokens = 0, asDeck } = load;
  const root = await mkdtemp(join(tmpdir(), 'firstlight-'));
  if (machine) await writeMachine(root, machine);
  const opened = await openDevice();
  const deck = { name: 'AMD Custom GPU 0405 (RADV VANGOGH)', vendor: 'amd', software: false };
  const device = asDeck ? { ...opened, traits: { ...opened.traits, ...deck } } : opened;
  let plan: Estimate | undefined;
  let failure: unknown;
  let tokens = 0;
  try {
    const model = await loadModel(device, blankCheckpoint({ ...SMALL_LLAMA, ...config }, type), {
      ...options,
      root: machine ? root : '/',
      onPlan: (made) => {
        plan = made;
      },
    });
    if (!asDeck) {
      const session = await createSession(model, {
        context: sessionContext,
        reserve: sessionContext ?? model.plan.context,
      });
      for await (const _ of session.generate([1, 2, 3], { maxTokens })) tokens++;
    }
  } catch (error) {
    failure = error;
  }
  const heldBytes = Object.values(device.memory()).reduce((sum, bytes) => sum + bytes, 0);
  device.close();
  await rm(root, { recursive: true });
  const code = failure instanceof FirstlightError ? failure.code : undefined;
  const message = failure === undefined ? '' : String((failure as Error).message);
  return { plan, code, message, heldBytes, tokens };
}

console.log(JSON.stringify(await loadBlank(JSON.parse(process.argv[2]!))));
