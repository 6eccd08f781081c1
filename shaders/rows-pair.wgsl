// Two rows of a quad of scales; another subgroup has the other two.
const EACH = 2u;
alias Sums = vec2<f32>;

// The quad of rows base + EACH * turn and on.
fn quad_of(base: u32, turn: u32) -> u32 {
  return (base + EACH * turn) / 4u;
}

struct Rows {
  a: Codes,
  b: Codes,
}

fn load_rows(row: u32, block: u32) -> Rows {
  return Rows(load_codes(row, block), load_codes(row + 1u, block));
}

// `row` is the first row's place in its quad.
fn add_rows(w: Rows, s: Scales, row: u32, x: X, sums: Sums) -> Sums {
  return Sums(add_block(w.a, s, row, x, sums.x), add_block(w.b, s, row + 1u, x, sums.y));
}
