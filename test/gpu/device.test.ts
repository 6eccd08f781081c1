import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { GPUBufferUsage } from '../../devices/dawn.ts';
import { findAdapter, listAdapters, openDevice } from '../../devices/open.ts';
import { compilePipeline } from '../../devices/pipelines.ts';
import { packedSwiftShader } from '../../devices/software.ts';
import { createTimer } from '../../devices/timing.ts';
import type { Device, DeviceOptions } from '../../devices/types.ts';
import { mapLate, watchDevice } from '../../devices/wait.ts';
import { FirstlightError } from '../../quant/errors.ts';
import type { Specialised } from '../../shaders/specialise.ts';
import { deviceTests, skipUnless, testAdapter } from '../device.ts';

const MIB = 1024 * 1024;
const test = suite('device');
const check = await deviceTests(test);

const readShader = (name: string) => readFileSync(new URL(`./${name}.wgsl`, import.meta.url), 'utf8');
const COUNT: Specialised = {
  code: readShader('count'),
  bindings: [
    { name: 'times', binding: 0, access: 'read' },
    { name: 'sum', binding: 1, access: 'read_write' },
  ],
};

/** A device of one test's own, closed afterwards. */
async function withDevice(options: DeviceOptions, run: (device: Device) => Promise<void>): Promise<void> {
  const device = await openDevice({ adapter: testAdapter, validate: true, ...options });
  try {
    await run(device);
  } finally {
    device.close();
  }
}

/** What a promise is rejected with. */
async function failureOf(work: Promise<unknown>): Promise<Error & { code?: string }> {
  return work.then(
    () => assert.unreachable('it did not fail'),
    (error) => error,
  );
}

const pattern = (bytes: number, seed = 1) =>
  Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + (i >> 8) * seed) & 255);

/** Submits a kernel that takes about as long as `times` says; its result lies in the buffer returned. */
async function count(device: Device, times: number): Promise<GPUBuffer> {
  const watch = watchDevice(device.gpu, 60_000);
  const { pipeline, layout } = await compilePipeline(device.gpu, watch, 'count', () => COUNT);
  const [input, output] = [device.buffer('times', 4, 'state'), device.buffer('sum', 4, 'state')];
  await device.upload(input, 0, Uint32Array.of(times));
  const entries = [input, output].map((buffer, binding) => ({ binding, resource: { buffer } }));
  const encoder = device.gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.gpu.createBindGroup({ layout, entries }));
  pass.dispatchWorkgroups(1);
  pass.end();
  device.gpu.queue.submit([encoder.finish()]);
  return output;
}

check('tells what the adapter is', ({ traits, gpu }) => {
  assert.ok(traits.name.length > 0 && traits.driver.length > 0 && traits.vendor.length > 0);
  assert.is(traits.limits.maxBufferBytes, gpu.limits.maxBufferSize);
  assert.ok(traits.limits.maxBindingBytes >= 128 * MIB);
  if (traits.subgroups) assert.ok(traits.subgroups.min >= 1 && traits.subgroups.max >= traits.subgroups.min);
  if (/swiftshader/i.test(traits.name)) {
    assert.equal([traits.software, traits.f16, traits.architecture], [true, false, 'swiftshader']);
    assert.equal(traits.subgroups, { min: 4, max: 4 });
    assert.is(traits.limits.maxBufferBytes, 1024 * MIB, 'all limits of the adapter are asked for');
  }
  if (/llvmpipe/i.test(traits.name)) {
    assert.equal([traits.software, traits.f16, traits.vendor], [true, true, 'mesa']);
    assert.equal(traits.subgroups, { min: 8, max: 8 });
  }
});

check('announces an adapter that is only software', async () => {
  const notices: string[] = [];
  await withDevice({ onNotice: (line) => notices.push(line) }, async ({ traits }) => {
    assert.is(notices.length, traits.software ? 1 : 0);
    for (const notice of notices) assert.match(notice, traits.name);
  });
});

check('finds adapters by name and by index, and lists them when there is no such', async () => {
  const adapters = await listAdapters();
  assert.ok(adapters.length > 0);
  const last = adapters.length - 1;
  await withDevice({ adapter: last }, async ({ traits }) => assert.is(traits.name, adapters[last]!.name));
  assert.equal(await findAdapter(last), adapters[last]);
  const part = adapters[last]!.name.slice(1).toUpperCase();
  await withDevice({ adapter: part }, async ({ traits }) => assert.match(traits.name.toUpperCase(), part));
  for (const adapter of ['no such adapter', 99]) {
    const error = await failureOf(openDevice({ adapter }));
    assert.is(error.code, 'no-adapter');
    assert.match(error.message, adapters[0]!.name);
  }
});

check('uploads and reads back at odd sizes and offsets', async (device) => {
  for (const bytes of [0, 1, 3, 4, 5, 17, 4097, MIB - 1, MIB, MIB + 1, 9 * MIB + 3]) {
    const buffer = device.buffer('round trip', bytes, 'weights');
    const data = pattern(bytes);
    await device.upload(buffer, 0, data);
    assert.is(Buffer.compare(await device.read(buffer, 0, bytes), data), 0, `${bytes} bytes`);
    const from = Math.floor(bytes / 3);
    const part = await device.read(buffer, from, bytes - from);
    assert.is(Buffer.compare(part, data.subarray(from)), 0, `${bytes} bytes from ${from}`);
    device.free(buffer);
  }
});

check('uploads other arrays, in their own window, at an offset', async (device) => {
  const buffer = device.buffer('window', 64, 'activations');
  const floats = Float32Array.of(9, 1.5, -2, 9).subarray(1, 3);
  await device.upload(buffer, 8, floats);
  const back = new Float32Array((await device.read(buffer, 0, 64)).slice().buffer);
  assert.equal([...back.subarray(0, 5)], [0, 0, 1.5, -2, 0], 'what was not written is zero');
  device.free(buffer);
});

check('reads concurrently without mixing anything up', async (device) => {
  const buffers = Array.from({ length: 5 }, (_, i) => device.buffer(`b${i}`, 3 * MIB, 'kv'));
  await Promise.all(buffers.map((buffer, i) => device.upload(buffer, 0, pattern(3 * MIB, i))));
  const backs = await Promise.all(buffers.map((buffer) => device.read(buffer, 0, 3 * MIB)));
  backs.forEach((back, i) => {
    assert.is(Buffer.compare(back, pattern(3 * MIB, i)), 0, `buffer ${i}`);
  });
  for (const buffer of buffers) device.free(buffer);
});

check('counts bytes by purpose and forgets what is freed', async () => {
  await withDevice({}, async (device) => {
    const none = { weights: 0, kv: 0, activations: 0, state: 0, staging: 0, readback: 0 };
    assert.equal(device.memory(), none);
    const weights = device.buffer('w', 1000, 'weights');
    const kv = device.buffer('k', 1, 'kv');
    assert.equal(device.memory(), { ...none, weights: 1008, kv: 16 });
    assert.is(weights.size, 1008);
    device.free(weights);
    device.free(weights);
    assert.equal(device.memory(), { ...none, kv: 16 });
    for (let i = 0; i < 3; i += 1) await device.read(kv, 0, 1);
    const { readback } = device.memory();
    assert.ok(readback > 0);
    for (let i = 0; i < 30; i += 1)
      await Promise.all([device.read(kv, 0, 1), device.read(kv, 0, 16), device.read(kv, 2, 3)]);
    assert.ok(device.memory().readback <= 2 * MIB, 'staging is reused');
    device.free(kv);
    await device.settle();
    assert.is(device.memory().kv, 0);
  });
});

check('refuses a buffer above the limit in words', (device) => {
  const before = device.memory();
  const bytes = device.traits.limits.maxBufferBytes + 1;
  try {
    device.buffer('lm_head', bytes, 'weights');
    assert.unreachable('it was made');
  } catch (error) {
    assert.instance(error, FirstlightError);
    assert.is((error as FirstlightError).code, 'not-enough-memory');
    const limit = Math.round(device.traits.limits.maxBufferBytes / MIB);
    assert.match((error as Error).message, new RegExp(`weights buffer "lm_head" of \\d+ MiB.*allows ${limit} MiB`));
  }
  assert.equal(device.memory(), before);
});

check('states a mistake in an upload or a read', async (device) => {
  const buffer = device.buffer('small', 16, 'state');
  assert.match(
    (await failureOf(device.upload(buffer, 8, new Uint8Array(12)))).message,
    'upload of 12 bytes at 8 to small',
  );
  assert.match((await failureOf(device.upload(buffer, 2, new Uint8Array(4)))).message, 'not a multiple of 4');
  assert.match((await failureOf(device.read(buffer, 12, 5))).message, 'read of 5 bytes at 12 from small of 16');
  assert.match((await failureOf(device.read(buffer, -4, 4))).message, 'read of 4 bytes at -4');
  device.free(buffer);
});

check('compiles a kernel once for each spec, whatever the order of its keys', async (device) => {
  const spec = {
    WEIGHT: 'f32',
    STORE: 'f32',
    BLOCKS: 2,
    FIRST_ROW: 0,
    PART_ROWS: 32,
    Y_BLOCKS: 2,
    SCALE: 1,
    GAIN: 'none',
  };
  const turned = Object.fromEntries(Object.entries(spec).reverse());
  const embed = device.pipeline('embed', spec);
  assert.is(device.pipeline('embed', turned), embed);
  const other = device.pipeline('embed', { ...spec, BLOCKS: 4 });
  assert.is.not(other, embed);
  const [first, second] = await Promise.all([embed, other]);
  assert.is.not(first.pipeline, second.pipeline);
  assert.ok(first.bindings.some(({ name, binding }) => name === 'tokens' && binding === 3));
  device.gpu.createBindGroup({
    layout: first.layout,
    entries: first.bindings.map(({ binding }) => ({
      binding,
      resource: { buffer: device.buffer('bound', 256, 'activations') },
    })),
  });
  await device.settle(); // the layout takes a buffer for each binding
  assert.match((await failureOf(device.pipeline('embed', { WEIGHT: 'f32' }))).message, 'embed');
});

for (const validate of [true, false]) {
  check(`quotes the line of WGSL that does not compile${validate ? '' : ', without validation too'}`, async () => {
    await withDevice({ validate }, async (device) => {
      const watch = watchDevice(device.gpu, 60_000);
      const source = () => ({ code: readShader('broken'), bindings: [] });
      const { message } = await failureOf(compilePipeline(device.gpu, watch, 'broken(TILE=4)', source));
      assert.match(message, 'kernel broken(TILE=4) does not compile');
      assert.match(message, "line 7: unresolved value 'missing_name'");
      assert.match(message, '      y[0] = x + missing_name;\n                 ^');
      await device.settle(); // and the device works on
    });
  });
}

check('runs a kernel and measures it', async (device) => {
  const sum = await count(device, 5);
  assert.equal(await device.read(sum, 0, 4), Uint8Array.of(121, 0, 0, 0)); // 1, 4, 13, 40, 121
  const timer = createTimer(device, 2);
  assert.is(timer !== undefined, device.traits.timestamps);
  if (!timer) return;
  for (const round of [1, 2]) {
    const encoder = device.gpu.createCommandEncoder();
    timer.pass(encoder, `a${round}`).end();
    timer.pass(encoder, 'b').end();
    assert.throws(() => timer.pass(encoder, 'c'), /more than 2 steps/);
    timer.resolve(encoder);
    device.gpu.queue.submit([encoder.finish()]);
    const steps = await timer.read();
    assert.equal(
      steps.map((step) => step.name),
      [`a${round}`, 'b'],
    );
    for (const { microseconds } of steps) assert.ok(microseconds >= 0 && microseconds < 1e6, `${microseconds} us`);
  }
  timer.close();
});

check('sleeps before it maps a result', async (device) => {
  const ring = device.buffer('token', 16, 'readback');
  const source = device.buffer('source', 16, 'state');
  await device.upload(source, 0, Uint32Array.of(7, 8, 9, 10));
  for (const expectedMs of [0, 40]) {
    const encoder = device.gpu.createCommandEncoder();
    encoder.copyBufferToBuffer(source, 0, ring, 0, 16);
    device.gpu.queue.submit([encoder.finish()]);
    const start = performance.now();
    const usage = performance.eventLoopUtilization();
    const { bytes } = await mapLate(device, ring, 8, expectedMs);
    assert.equal(bytes, Uint8Array.of(7, 0, 0, 0, 8, 0, 0, 0));
    const tookMs = performance.now() - start;
    assert.ok(tookMs >= expectedMs - 3, `${tookMs} ms`);
    if (expectedMs > 0) assert.ok(performance.eventLoopUtilization(usage).utilization < 0.7, 'the core rests');
  }
  device.free(ring);
  device.free(source);
});

check('rests while something takes long', async (device) => {
  await count(device, 10); // compiled
  const sum = await count(device, 4_000_000);
  const startMs = performance.now();
  const usage = performance.eventLoopUtilization();
  await device.read(sum, 0, 4);
  const tookMs = performance.now() - startMs;
  const busyMs = performance.eventLoopUtilization(usage).utilization * tookMs;
  // the event loop is blocked by the brief rests of the first 50 ms
  assert.ok(busyMs < 60 + 0.5 * tookMs, `the event loop was busy for ${busyMs} ms of ${tookMs}`);
});

check('gives up after the time-out, says so, and can be used again', async () => {
  await withDevice({ timeoutMs: 20 }, async (device) => {
    const sum = await count(device, 4_000_000);
    const error = await failureOf(device.read(sum, 0, 4));
    assert.is(error.code, 'device-timeout');
    assert.match(error.message, 'did not answer within 20 ms while reading sum back');
    await device.gpu.queue.onSubmittedWorkDone();
    let back: Uint8Array | undefined;
    for (let attempt = 0; !back && attempt < 20; attempt += 1) {
      // a busy machine may be late again
      back = await device.read(sum, 0, 4).catch((again) => void assert.is(again.code, 'device-timeout'));
    }
    assert.is(back?.length, 4);
  });
});

check('refuses a time-out that is none, and takes an endless one', async () => {
  for (const timeoutMs of [0, -1, Number.NaN]) {
    assert.is((await failureOf(openDevice({ adapter: testAdapter, timeoutMs }))).code, 'bad-argument');
  }
  await withDevice({ timeoutMs: Number.POSITIVE_INFINITY }, (device) => device.settle());
});

check('rejects what is pending when the device is lost, and all that comes later', async () => {
  const device = await openDevice({ adapter: testAdapter, validate: true });
  const sum = await count(device, 1000);
  const reading = failureOf(device.read(sum, 0, 4));
  const own = failureOf(device.guard(new Promise(() => {}), 'waiting for nothing'));
  device.gpu.destroy();
  for (const error of [await reading, await own, await failureOf(device.settle())]) {
    assert.is(error.code, 'device-lost');
    assert.match(error.message, /lost while .* load the model anew/);
  }
  assert.match(await device.lost, 'destroyed');
});

check('throws what Dawn reported in passing at the next wait, once', async () => {
  await withDevice({}, async (device) => {
    device.gpu.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.MAP_WRITE });
    assert.match((await failureOf(device.settle())).message, /the GPU refused a call.*Buffer usages/);
    await device.settle();
  });
});

const checkPacked = skipUnless('device', 'they need @sparticuz/chromium', test, test);
const checkSoftware = (name: string, run: () => Promise<void>) =>
  checkPacked(packedSwiftShader() !== undefined, name, run);

/** What another process says that opens a device in this environment, and what the environment is then. */
async function openElsewhere(env: Record<string, string | undefined>, adapter?: string): Promise<string> {
  const script = `
    const { openDevice } = await import(${JSON.stringify(new URL('../../devices/open.ts', import.meta.url).href)});
    const adapter = ${JSON.stringify(adapter)};
    const device = await openDevice({ adapter, onNotice: (line) => console.log(line) });
    console.log(\`after: \${process.env.VK_DRIVER_FILES} \${process.env.VK_ICD_FILENAMES}\`);
    device.close();`;
  const args = ['--import', 'tsx', '--input-type=module', '--eval', script];
  const options = { env: { ...process.env, ...env }, timeout: 60_000 };
  return (await promisify(execFile)(process.execPath, args, options)).stdout;
}

const NOWHERE = fileURLToPath(new URL('./none.json', import.meta.url));
const NO_DRIVERS = { VK_DRIVER_FILES: NOWHERE, VK_ICD_FILENAMES: NOWHERE };

checkSoftware('falls back to SwiftShader on a machine without drivers', async () => {
  const said = await openElsewhere(NO_DRIVERS);
  assert.match(said, /^no usable Vulkan driver: running on SwiftShader.*right, but slow$/m);
  assert.match(said, `after: ${NOWHERE} ${NOWHERE}`);
});

checkSoftware('brings its own Vulkan loader to a machine without one', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'firstlight-test-'));
  try {
    writeFileSync(join(folder, 'libvulkan.so.1'), ''); // found first, and no library
    const said = await openElsewhere({ ...NO_DRIVERS, LD_LIBRARY_PATH: folder });
    assert.match(said, /^no usable Vulkan driver: running on SwiftShader/m);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

checkSoftware('opens SwiftShader when it is asked for, and leaves the environment as it was', async () => {
  const said = await openElsewhere({ VK_DRIVER_FILES: undefined, VK_ICD_FILENAMES: undefined }, 'SwiftShader');
  assert.match(said, /^running on SwiftShader/m);
  assert.match(said, 'after: undefined undefined');
});

test.run();
