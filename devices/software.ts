/**
 * SwiftShader, a Vulkan driver that runs on the CPU, for machines without one: unpacked from the optional package
 * `@sparticuz/chromium`, which also brings a Vulkan loader.
 */
import { createHash } from 'node:crypto';
import { constants, existsSync, lstatSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { constants as system } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliDecompress } from 'node:zlib';

const MANIFEST = 'vk_swiftshader_icd.json';
const LOADER = 'libvulkan.so.1';
const WANTED = [MANIFEST, 'libvk_swiftshader.so', LOADER];

/** Linux's RTLD_NODELETE, which Node does not name: the library stays although Node closes it. */
const RTLD_NODELETE = 0x1000;

/** Path of the packed driver, or undefined where the package is absent or made for another system. */
export function packedSwiftShader(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  try {
    const entry = import.meta.resolve('@sparticuz/chromium'); // .../build/esm/index.js
    const archive = new URL('../../bin/swiftshader.tar.br', entry);
    return existsSync(archive) ? fileURLToPath(archive) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Unpacks the driver once into a folder below the first of `parents` that can be written and that nobody else can
 * change, and returns that folder. Several processes may do so at once. Throws when no parent will do.
 */
export async function unpackSwiftShader(archive: string, parents: readonly string[]): Promise<string> {
  const packed = await readFile(archive);
  const name = `swiftshader-${createHash('sha256').update(packed).digest('hex').slice(0, 16)}`;
  let failure: unknown;
  for (const parent of parents) {
    try {
      mkdirSync(parent, { recursive: true, mode: 0o700 });
      assertOwn(parent);
      const folder = join(parent, name);
      if (existsSync(folder)) assertOwn(folder);
      else await unpackInto(folder, packed);
      return folder;
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/** Libraries are loaded from here: a folder that another user could have filled, as in /tmp, will not do. */
function assertOwn(folder: string): void {
  const { uid, mode } = lstatSync(folder);
  const othersWrite = (mode & (constants.S_IWGRP | constants.S_IWOTH)) !== 0;
  if (!lstatSync(folder).isDirectory() || uid !== process.getuid?.() || othersWrite) {
    throw new Error(`${folder} can be changed by other users`);
  }
}

/** Fills a folder of its own and renames it, so that `folder` is whole whenever it is there. */
async function unpackInto(folder: string, packed: Uint8Array): Promise<void> {
  const files = readTar(await promisify(brotliDecompress)(packed));
  const unfinished = mkdtempSync(`${folder}-`);
  try {
    for (const wanted of WANTED) {
      const data = files.get(wanted);
      if (!data) throw new Error(`${wanted} is not in the archive`);
      writeFileSync(join(unfinished, wanted), data, { mode: 0o700 });
    }
    renameSync(unfinished, folder);
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    if (!existsSync(folder)) throw error; // else another process was first
  }
}

const TAR_BLOCK = 512;

/** The regular files of a tar archive (POSIX ustar) by base name. Throws when it is damaged or truncated. */
export function readTar(archive: Uint8Array): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const text = (from: number, length: number) =>
    Buffer.from(archive.subarray(from, from + length))
      .toString('latin1')
      .split('\0', 1)[0]!
      .trim();
  for (let at = 0; at + TAR_BLOCK <= archive.length; ) {
    const header = archive.subarray(at, at + TAR_BLOCK);
    if (header.every((byte) => byte === 0)) return files; // the end is marked by empty blocks
    // the checksum counts its own eight bytes as spaces
    const sum = header.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 32 : byte), 0);
    if (sum !== Number.parseInt(text(at + 148, 8), 8)) throw new Error(`tar: bad header at byte ${at}`);
    const size = Number.parseInt(text(at + 124, 12), 8);
    const start = at + TAR_BLOCK;
    if (!(size >= 0) || start + size > archive.length) throw new Error(`tar: file at byte ${at} is cut off`);
    const type = text(at + 156, 1);
    if (type === '' || type === '0') {
      files.set(text(at, 100).split('/').at(-1)!, archive.subarray(start, start + size));
    }
    at = start + Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
  }
  throw new Error('tar: no end mark');
}

/** The driver's manifest in an unpacked folder, for the Vulkan loader's VK_DRIVER_FILES. */
export function manifestOf(folder: string): string {
  return join(folder, MANIFEST);
}

/**
 * Makes the package's Vulkan loader resident, for a machine without one: Dawn then finds it by its name. Node takes it
 * for an addon and complains; the library stays loaded all the same.
 */
export function loadLoader(folder: string): void {
  const { RTLD_NOW, RTLD_GLOBAL } = system.dlopen;
  try {
    process.dlopen({ exports: {} }, join(folder, LOADER), RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
  } catch {
    // "did not self-register" on success; a real failure shows when Dawn finds no adapter
  }
}
