/** GPUs that firstlight knows by their PCI id: what sysfs does not say of them. */

export interface KnownGpu {
  readonly name: string;
  /** A part of main memory serves as its own. */
  readonly integrated: boolean;
  /** How RADV names the chip, in brackets behind the adapter's name; several where Mesa renamed it. */
  readonly radvNames: readonly string[];
  /** Peak DRAM bandwidth, where every machine with this GPU has the same memory. */
  readonly bandwidthBytesPerSecond?: number | undefined;
}

const GB = 1e9;
const apu = (name: string, radvNames: readonly string[], bandwidthBytesPerSecond?: number): KnownGpu => ({
  name,
  integrated: true,
  radvNames,
  bandwidthBytesPerSecond,
});

/** By `vendor:device` as in lspci, lower case. */
export const KNOWN_GPUS: Readonly<Record<string, KnownGpu>> = {
  '1002:163f': apu('Steam Deck LCD (Van Gogh)', ['VANGOGH'], 88 * GB), // LPDDR5-5500, 128 bits
  '1002:1435': apu('Steam Deck OLED (Sephiroth)', ['VANGOGH'], 102.4 * GB), // LPDDR5-6400, 128 bits
  '1002:1586': apu('Radeon 8060S (Strix Halo)', ['STRIX_HALO', 'GFX1151'], 256 * GB), // LPDDR5X-8000, 256 bits
  '1002:150e': apu('Radeon 890M (Strix Point)', ['STRIX1', 'GFX1150']),
  '1002:1114': apu('Radeon 860M (Krackan Point)', ['KRACKAN1', 'GFX1152']),
  '1002:15bf': apu('Radeon 780M (Phoenix)', ['PHOENIX', 'GFX1103_R1']),
  '1002:15c8': apu('Radeon 740M (Phoenix 2)', ['PHOENIX2', 'GFX1103_R2']),
  '1002:1900': apu('Radeon 780M (Hawk Point)', ['PHOENIX', 'GFX1103_R1']),
  '1002:1901': apu('Radeon 740M (Hawk Point 2)', ['PHOENIX2', 'GFX1103_R2']),
  '1002:1681': apu('Radeon 680M (Rembrandt)', ['REMBRANDT']),
  '1002:1506': apu('Radeon 610M (Mendocino)', ['RAPHAEL_MENDOCINO']),
  '1002:164e': apu('Radeon Graphics (Raphael)', ['RAPHAEL_MENDOCINO']),
  '1002:15e7': apu('Radeon Vega (Barcelo)', ['RENOIR']),
  '1002:1638': apu('Radeon Vega (Cezanne)', ['RENOIR']),
  '1002:164c': apu('Radeon Vega (Lucienne)', ['RENOIR']),
  '1002:1636': apu('Radeon Vega (Renoir)', ['RENOIR']),
  '1002:15d8': apu('Radeon Vega (Picasso, Raven 2)', ['RAVEN', 'RAVEN2']),
  '1002:15dd': apu('Radeon Vega (Raven Ridge)', ['RAVEN']),
  // the same chip sits on RX 7900 XTX, XT and GRE, whose memory differs
  '1002:744c': { name: 'Radeon RX 7900', integrated: false, radvNames: ['NAVI31'] },
};

/** PCI vendor ids by the vendor names that WebGPU adapters give. */
export const PCI_VENDORS: Readonly<Record<string, string>> = { amd: '1002', nvidia: '10de', intel: '8086' };
