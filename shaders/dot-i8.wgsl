// Quantised weights times int8 activations.
//! include act-$ACT add-i8
