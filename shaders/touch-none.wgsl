fn touch(row: u32, block: u32) -> u32 {
  return 0u;
}

fn leave(touched: u32) {
}
