// What feed-forward.wgsl has added to the residual stream, which nobody has taken into it yet.
@group(0) @binding(15) var<storage, read> added: array<vec4<i32>>; // as the residual stream

fn added_at(at: u32) -> vec4<i32> {
  return added[at];
}
