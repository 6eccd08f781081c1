// Queries for the matrix units, which multiply them with keys as they are: times the scale.
//! enable f16
//! param SCALE f32
@group(0) @binding(5) var<storage, read_write> q: array<f16>; // [column][Q_ROWS padded to 32]

fn store_query(at: u32, value: f32) {
  q[at] = f16(value * SCALE);
}
