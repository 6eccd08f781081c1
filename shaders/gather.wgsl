// Puts activation blocks into the order in which a matrix has its columns: those of one group of weights together. A workgroup has
// one block of one column.
//! include state-read store-$STORE
//! param BLOCKS u32
@group(0) @binding(1) var<storage, read> order: array<u32>;         // [BLOCKS * 32], the value that stands at each place
@group(0) @binding(3) var<storage, read> x_codes: array<f32>;       // [column][BLOCKS * 32]
@group(0) @binding(4) var<storage, read> x_meta: array<vec4<f32>>;  // [column][block]: 1, sum of values, sum of squares before the gain

const THREADS = 32u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let block = group.x;
  let column = group.y;
  let value = x_codes[column * BLOCKS * 32u + order[block * 32u + lane]];
  // sums of squares are only ever added up over all blocks: each stays at its place
  let square = select(0.0, x_meta[column * BLOCKS + block].z, lane == 0u);
  store_block(column, block, lane, value, square, column < state.columns);
}
