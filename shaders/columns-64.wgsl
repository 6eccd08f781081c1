// A subgroup of gemm-matrix.wgsl has 64 columns. Written out: drivers keep an array of matrices in memory.
const COLUMN_TILES = 4u;
@group(0) @binding(3) var<storage, read> x_codes: array<f16>; // see tile-place.wgsl

struct Inputs {
  a: subgroup_matrix_left<f16, 16, 16>,
  b: subgroup_matrix_left<f16, 16, 16>,
  c: subgroup_matrix_left<f16, 16, 16>,
  d: subgroup_matrix_left<f16, 16, 16>,
}

struct Results {
  a: Sums,
  b: Sums,
  c: Sums,
  d: Sums,
}

// 16 values of the subgroup's columns, from number 16 * k on.
fn load_inputs(tile: u32, k: u32) -> Inputs {
  let at = tile_place(tile, k, 4u * STEPS);
  return Inputs(
    subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&x_codes, at, 16u),
    subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&x_codes, at + 256u, 16u),
    subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&x_codes, at + 512u, 16u),
    subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&x_codes, at + 768u, 16u),
  );
}

fn add_products(x: Inputs, w: Weights, r: Results) -> Results {
  return Results(multiply(x.a, w, r.a), multiply(x.b, w, r.b), multiply(x.c, w, r.c), multiply(x.d, w, r.d));
}

fn store_results(r: Results, team: u32, first_row: u32, first: u32, thread: u32) {
  store_tile(r.a, 0u, team, first_row, first, thread);
  store_tile(r.b, 1u, team, first_row, first, thread);
  store_tile(r.c, 2u, team, first_row, first, thread);
  store_tile(r.d, 3u, team, first_row, first, thread);
}
