// Where an input of gemm-matrix.wgsl lies: tiles of 16 columns by 16 values, those of 64 columns side by side,
// [column / 64][K / 16][column / 16 % 4][column % 16][16], every 32 values in the order of act-f16.wgsl.

// Index of a tile's first value; `k_tiles` is even blocks' worth of them.
fn tile_place(tile: u32, k: u32, k_tiles: u32) -> u32 {
  return ((tile / 4u * k_tiles + k) * 4u + tile % 4u) * 256u;
}
