/** Energy from a power sensor's readings. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { startPowerMeter } from '../../devices/power.ts';
import { temporaryFolder } from './temporary-folder.ts';

const test = suite('power');
const writeFolder = temporaryFolder(test);

test('adds up what is taken between readings', async () => {
  const folder = await writeFolder('hwmon', new Map([['power1_average', '4000000\n']]));
  const sensor = join(folder, 'power1_average');
  let nowMs = 1000;
  const meter = startPowerMeter(sensor, 1e6, () => nowMs);
  await meter.read();
  nowMs += 2000;
  await meter.read(); // 4 W for 2 s
  writeFileSync(sensor, '8000000\n');
  nowMs += 1000; // 6 W on average for 1 s
  const energy = await meter.stop();
  assert.ok(energy && Math.abs(energy.joules - 14) < 1e-9, `${energy?.joules} J`);
  assert.is(energy?.seconds, 3);
});

test('reads by itself now and then', async () => {
  const folder = await writeFolder('hwmon', new Map([['power1_average', '5000000\n']]));
  let nowMs = 0;
  const meter = startPowerMeter(join(folder, 'power1_average'), 5, () => nowMs++);
  while (nowMs < 20) await sleep(5);
  const { joules, seconds } = (await meter.stop())!;
  assert.ok(Math.abs(joules / seconds - 5) < 1e-9);
});

test('nothing is measured where there is nothing to read', async () => {
  assert.is(await startPowerMeter(undefined).stop(), undefined);
  assert.is(await startPowerMeter('/no/such/sensor').stop(), undefined);
  const folder = await writeFolder('hwmon', new Map([['power1_average', 'N/A']]));
  assert.is(await startPowerMeter(join(folder, 'power1_average')).stop(), undefined);
});

test.run();
