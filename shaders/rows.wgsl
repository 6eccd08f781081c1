// What a workgroup of a matrix-vector product hands to its epilogue.
//! param TILE u32 32 64
//! param COLS u32 1 2 4 8
var<workgroup> y_rows: array<f32, TILE * COLS>; // [column of this workgroup][row of this workgroup]
var<workgroup> y_squares: array<f32, COLS>;     // sum of squares of each input column before its gain
