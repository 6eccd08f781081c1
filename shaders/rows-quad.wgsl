// The four rows of a quad of scales, in one subgroup.
const EACH = 4u;
alias Sums = vec4<f32>;

// The quad of rows base + EACH * turn and on.
fn quad_of(base: u32, turn: u32) -> u32 {
  return base / 4u + turn;
}

struct Rows {
  a: Codes,
  b: Codes,
  c: Codes,
  d: Codes,
}

fn load_rows(row: u32, block: u32) -> Rows {
  return Rows(load_codes(row, block), load_codes(row + 1u, block), load_codes(row + 2u, block), load_codes(row + 3u, block));
}

// `row` is the first row's place in its quad.
fn add_rows(w: Rows, s: Scales, row: u32, x: X, sums: Sums) -> Sums {
  return Sums(
    add_block(w.a, s, 0u, x, sums.x),
    add_block(w.b, s, 1u, x, sums.y),
    add_block(w.c, s, 2u, x, sums.z),
    add_block(w.d, s, 3u, x, sums.w),
  );
}
