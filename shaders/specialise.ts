export type ShaderName = string;
/** Values for a shader's parameters and include slots. */
export type Spec = Readonly<Record<string, number | boolean | string>>;
