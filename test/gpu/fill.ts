/** Run by memory.test.ts under a memory cap: fills the device, frees a part, and goes on. */
import { openDevice } from '../../devices/open.ts';
import { FirstlightError } from '../../quant/errors.ts';

const PIECE = 32 * 1024 * 1024;
const device = await openDevice();
const held: GPUBuffer[] = [];
let failure: unknown;
while (failure === undefined && held.length < 32) {
  held.push(device.buffer(`piece ${held.length}`, PIECE, 'weights'));
  await device.settle().catch((error) => {
    failure = error;
  });
}
const fitted = held.length - 1;
const counted = device.memory().weights === fitted * PIECE;
// the piece that failed, one to make room, and one for Dawn's staging: without room for that the device is lost
for (const piece of held.splice(-3)) device.free(piece);
await device.settle();
const again = device.buffer('again', PIECE, 'kv');
await device.upload(again, 0, Uint8Array.of(1, 2, 3, 4));
const back = await device.read(again, 0, 4);
const { code, message } = failure instanceof FirstlightError ? failure : { code: 'none', message: String(failure) };
console.log(JSON.stringify({ fitted, counted, code, message, back: [...back] }));
device.close();
