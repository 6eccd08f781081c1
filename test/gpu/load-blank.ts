/** Run by estimate.test.ts under a memory cap: plans, loads and uses a model, and says how that went. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDevice } from '../../devices/open.ts';
import type { Estimate } from '../../engine/estimate.ts';
import { type LoadOptions, loadModel } from '../../engine/model.ts';
import { createSession } from '../../engine/session.ts';
import { randomCheckpointOf } from '../../engine/shapes.ts';
import type { LlamaConfig } from '../../loaders/types.ts';
import { FirstlightError } from '../../quant/errors.ts';
import type { FileType } from '../../quant/file-types.ts';
import { blankCheckpoint } from '../blank-model.ts';
import { type FakeMachine, writeMachine } from '../fake-machines.ts';
import { SMALL_LLAMA } from '../random-model.ts';

export interface BlankLoad {
  readonly config: Partial<LlamaConfig>;
  readonly type: FileType;
  /** Random weights, of which the ids tell something; default all the same. */
  readonly random?: boolean;
  readonly options?: LoadOptions;
  /** Stands for the machine's /proc and /sys. */
  readonly machine?: FakeMachine;
  /** Of the session; default as planned. */
  readonly sessionContext?: number;
  /** Default three ids. */
  readonly prompt?: readonly number[];
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
  readonly ids: readonly number[];
  readonly loadMs: number;
  readonly decodeMs: number;
  /** Most memory of the process at once. */
  readonly peakResidentBytes: number;
}

async function loadBlank(load: BlankLoad): Promise<BlankResult> {
  const {
    config,
    type,
    random,
    prompt = [1, 2, 3],
    options,
    machine,
    sessionContext,
    tokens: maxTokens = 0,
    asDeck,
  } = load;
  const root = await mkdtemp(join(tmpdir(), 'firstlight-'));
  if (machine) await writeMachine(root, machine);
  const opened = await openDevice();
  const deck = { name: 'AMD Custom GPU 0405 (RADV VANGOGH)', vendor: 'amd', software: false };
  const device = asDeck ? { ...opened, traits: { ...opened.traits, ...deck } } : opened;
  let plan: Estimate | undefined;
  let failure: unknown;
  const ids: number[] = [];
  let loadMs = 0;
  let decodeMs = 0;
  try {
    const full = { ...SMALL_LLAMA, ...config };
    const checkpoint = random ? randomCheckpointOf(full, 'random', type) : blankCheckpoint(full, type);
    const startMs = performance.now();
    const model = await loadModel(device, checkpoint, {
      ...options,
      root: machine ? root : '/',
      onPlan: (made) => {
        plan = made;
      },
    });
    loadMs = performance.now() - startMs;
    if (!asDeck) {
      const session = await createSession(model, {
        context: sessionContext,
        reserve: sessionContext ?? model.plan.context,
      });
      for await (const id of session.generate(prompt, { temperature: 0, maxTokens })) ids.push(id);
      decodeMs = session.stats.decodeMs;
    }
  } catch (error) {
    failure = error;
  }
  const heldBytes = Object.values(device.memory()).reduce((sum, bytes) => sum + bytes, 0);
  device.close();
  await rm(root, { recursive: true });
  const code = failure instanceof FirstlightError ? failure.code : undefined;
  const message = failure === undefined ? '' : String((failure as Error).message);
  const peakResidentBytes = process.resourceUsage().maxRSS * 1024;
  return { plan, code, message, heldBytes, ids, loadMs, decodeMs, peakResidentBytes };
}

console.log(JSON.stringify(await loadBlank(JSON.parse(process.argv[2]!))));
