/** The miniature model of every architecture, whole, on the device: logits and greedy ids of transformers. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadModel } from '../../engine/model.ts';
import { createSession } from '../../engine/session.ts';
import { openCheckpoint } from '../../loaders/checkpoint.ts';
import { deviceTests } from '../device.ts';
import { FIXTURES, fixturePath, fixtureRuns, largestDifference } from '../fixture-models.ts';

const test = suite('architectures');
const check = await deviceTests(test);

/** Two logits that are each off by this may change places. */
const EXACT = 1e-3;

for (const name of FIXTURES) {
  check(
    `${name}: exact arithmetic gives the logits of transformers, in one pass and token by token`,
    async (device) => {
      const checkpoint = await openCheckpoint(fixturePath(name));
      const model = await loadModel(device, checkpoint, { arithmetic: 'f32' });
      try {
        for (const { promptIds, greedyIds, gaps, context, rows } of fixtureRuns(name)) {
          for (const chunk of [32, 1]) {
            const session = await createSession(model, { context: context ?? 32, chunk });
            try {
              let position = 0;
              for await (const got of session.logits(promptIds)) {
                const error = largestDifference(got, rows[position]!);
                assert.ok(error < EXACT, `chunks of ${chunk}, position ${position}: a logit is off by ${error}`);
                position++;
              }
              assert.is(position, promptIds.length);
              // ids are fixed only as long as no gap is within what rounding may close
              const tie = gaps.findIndex((gap) => gap < 2 * EXACT);
              const count = tie < 0 ? greedyIds.length : tie;
              if (chunk === 1 || count === 0) continue;
              const got: number[] = [];
              for await (const id of session.generate(promptIds, { temperature: 0, maxTokens: count })) got.push(id);
              assert.equal(got, greedyIds.slice(0, count));
            } finally {
              await session.close();
            }
          }
        }
      } finally {
        await model.close();
        await checkpoint.close();
      }
    },
  );
}

test.run();
