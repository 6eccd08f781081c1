// What a workgroup of a product hands to its epilogue, in steps of Y_COLUMNS columns.
//! param TILE u32 32 64
var<workgroup> y_rows: array<f32, TILE * Y_COLUMNS>; // [column][row]
