import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Puts a layer between Dawn and the driver that refuses what an APU's memory would not hold. */
const cap = fileURLToPath(new URL('../../../shared/vangogh/env.sh', import.meta.url));
const isSetUp = existsSync(cap) && spawnSync(cap, ['swiftshader', 'true'], { cwd: root }).status === 0;

const test = suite('memory');
const check = isSetUp ? test : test.skip;
if (!isSetUp) console.log('memory: 1 test is skipped, it needs the memory cap of ../shared/vangogh');

check('says what did not fit, counts rightly and goes on once memory is free', async () => {
  const { stdout } = await promisify(execFile)(
    cap,
    ['swiftshader', process.execPath, '--import', 'tsx', 'test/gpu/fill.ts'],
    { cwd: root, env: { ...process.env, HEAP_CAP_VRAM_MB: '64', HEAP_CAP_GTT_MB: '64' }, timeout: 60_000 },
  );
  const { fitted, counted, code, message, back } = JSON.parse(stdout.trim().split('\n').at(-1)!);
  assert.ok(fitted >= 2 && fitted <= 4, `${fitted} pieces of 32 MiB in 128 MiB`);
  assert.is(code, 'not-enough-memory');
  const held = fitted * 32;
  assert.match(message, `no GPU memory left for weights buffer "piece ${fitted}" of 32 MiB, ${held} MiB held already`);
  assert.ok(counted, 'the piece that failed is not counted');
  assert.equal(back, [1, 2, 3, 4]);
});

test.run();
