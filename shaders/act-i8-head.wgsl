// The input of the product in attention-projected.wgsl: what the workgroup's own head has come to.
//! include act-i8-shared
//! param HEAD_DIM u32
const SHARED_BLOCKS = HEAD_DIM / 32u;
