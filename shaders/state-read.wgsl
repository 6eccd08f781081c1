//! include state
@group(0) @binding(0) var<storage, read> state: State;
