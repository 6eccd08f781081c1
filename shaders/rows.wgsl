// What a workgroup of a matrix-vector product hands to its epilogue: TILE rows of COLS columns.
//! param TILE u32 32 64
//! param COLS u32 1 2 4 8
var<workgroup> y_rows: array<f32, TILE * COLS>; // [column of this workgroup][row of this workgroup]
