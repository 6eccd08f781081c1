/** Number formats as they lie in model files, row by row, little-endian. */
export type FileType = 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_0';
