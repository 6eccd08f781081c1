// Puts the logit of the token that was chosen beside the list of the best ones.
//! include state-read ring candidates
//! param VOCAB u32
@group(0) @binding(2) var<storage, read> picked: array<u32>; // see ring.wgsl
@group(0) @binding(5) var<storage, read> logits: array<f32>; // [output][VOCAB padded to 32]
@group(0) @binding(7) var<storage, read_write> candidates: array<Candidates>; // [slot]

@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) group: vec3<u32>) {
  let result = group.y;
  // advancing, the choice has put the chosen token's own place there
  let advanced = state.advance == 1u;
  let source = state.places[select(state.places[result].output, result, advanced)];
  let position = source.position + select(1u, 0u, advanced);
  let id = picked[ring_place(source.slot, position)];
  candidates[source.slot].chosen = logits[result * ((VOCAB + 31u) / 32u) * 32u + id];
}
