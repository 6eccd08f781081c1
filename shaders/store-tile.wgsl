// Writes activation blocks as f16 tiles for gemm-matrix.wgsl. With ROUNDED the values are first rounded to int8 blocks, as
// store-i8.wgsl does, so that prompts and single tokens see the same inputs. Needs subgroups of 32 and more.
//! enable f16
//! enable subgroups
//! diagnostic off subgroup_uniformity
//! include blocks tile-place
//! param Y_BLOCKS u32
//! param ROUNDED bool
@group(0) @binding(7) var<storage, read_write> y_codes: array<u32>; // see tile-place.wgsl, two f16 a word

fn rounded(value: f32) -> f32 {
  var largest = abs(value);
  largest = max(largest, subgroupShuffleXor(largest, 16u));
  largest = max(largest, subgroupShuffleXor(largest, 8u));
  largest = max(largest, subgroupShuffleXor(largest, 4u));
  largest = max(largest, subgroupShuffleXor(largest, 2u));
  largest = max(largest, subgroupShuffleXor(largest, 1u));
  let inverse = select(0.0, 127.0 / largest, largest > 0.0);
  return round(value * inverse) * (largest * (1.0 / 127.0));
}

// Called by whole subgroups; only teams with `live` store.
fn store_block(column: u32, block: u32, thread: u32, value: f32, square: f32, live: bool) {
  const MOST = 65504.0; // of f16
  let lane = thread % 32u;
  let kept = clamp(select(value, rounded(value), ROUNDED), -MOST, MOST);
  // lanes v and v + 2 of every four share a word
  let word = bitcast<u32>(vec2<f16>(f16(kept), f16(subgroupShuffleXor(kept, 2u))));
  if (live && lane % 4u < 2u) {
    let tile = tile_place(column / 16u, 2u * block + lane / 16u, (Y_BLOCKS + 1u) / 2u * 4u);
    y_codes[tile / 2u + column % 16u * 8u + lane % 16u / 4u * 2u + lane % 2u] = word;
  }
}
