// Four rows at once, a row quad, of a quantised matrix that add-i8.wgsl multiplies: what a thread asks for long before it needs it.
struct Quad {
  row_0: RawCodes,
  row_1: RawCodes,
  row_2: RawCodes,
  row_3: RawCodes,
  quad_scales: RawScales,
}

fn fetch_quad(quad: u32, block: u32) -> Quad {
  return Quad(
    fetch_codes(4u * quad, block),
    fetch_codes(4u * quad + 1u, block),
    fetch_codes(4u * quad + 2u, block),
    fetch_codes(4u * quad + 3u, block),
    fetch_scales(quad, block),
  );
}

fn add_quad(quad: Quad, block: u32, x: X, sum: vec4<f32>) -> vec4<f32> {
  let s = scales_of(quad.quad_scales);
  return vec4<f32>(
    add_block(codes_of(quad.row_0, block), s, 0u, x, sum.x),
    add_block(codes_of(quad.row_1, block), s, 1u, x, sum.y),
    add_block(codes_of(quad.row_2, block), s, 2u, x, sum.z),
    add_block(codes_of(quad.row_3, block), s, 3u, x, sum.w),
  );
}
