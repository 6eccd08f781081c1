fn added_at(at: u32) -> vec4<i32> {
  return vec4<i32>();
}
