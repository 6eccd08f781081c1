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
  const meter = startPowerMeter(sensor, 5, () => nowMs);
  await sleep(40); // a reading at least, at the start
  nowMs += 2000;
  await sleep(40); // 4 W for 2 s
  writeFileSync(sensor, '8000000\n');
  nowMs += 1000; // 6 W on average for 1 s
  const energy = await meter.stop();
  assert.ok(energy && Math.abs(energy.joules - 14) < 1e-9, `${energy?.joules} J`);
  assert.is(energy?.seconds, 3);
});

test('nothing is measured where there is nothing to read', async () => {
  assert.is(await startPowerMeter(undefined).stop(), undefined);
  assert.is(await startPowerMeter('/no/such/sensor').stop(), undefined);
  const folder = await writeFolder('hwmon', new Map([['power1_average', 'N/A']]));
  assert.is(await startPowerMeter(join(folder, 'power1_average')).stop(), undefined);
});

test.run();
