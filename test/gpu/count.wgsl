// Adds one to a number as often as it is told.
@group(0) @binding(0) var<storage, read> times: array<u32>;
@group(0) @binding(1) var<storage, read_write> sum: array<u32>;

@compute @workgroup_size(1)
fn main() {
  for (var i = 0u; i < times[0]; i++) {
    sum[0] = sum[0] * 3u + 1u;
  }
}
