// The next product takes its input from the residual stream, through norm.wgsl.
//! include blocks
//! param Y_BLOCKS u32
fn store_block(column: u32, block: u32, thread: u32, value: f32, square: f32, live: bool) {
}
