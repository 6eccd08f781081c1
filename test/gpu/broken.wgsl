// Does not compile: the tests read what is said of it.
@group(0) @binding(0) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(1)
fn main() {
  let x = 1.0;
  y[0] = x + missing_name;
}
