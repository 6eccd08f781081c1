// How a sequence's tokens are chosen; one for every slot.
struct Sampler {
  seed: u32,
  top_k: u32,
  temperature: f32,
  top_p: f32,
  min_p: f32,
  choice: u32, // CHOICE_CODE of the choose-*.wgsl that does it; 0: none of them
  pad_a: u32,
  pad_b: u32,
}
@group(0) @binding(3) var<storage, read> samplers: array<Sampler>; // [slot]
