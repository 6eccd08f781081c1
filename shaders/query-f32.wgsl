// Queries for attention of one column at a time.
@group(0) @binding(5) var<storage, read_write> q: array<f32>; // [column][Q_ROWS padded to 32]

fn store_query(at: u32, value: f32) {
  q[at] = value;
}
