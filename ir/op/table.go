package op

// The table's order is the order of the printed documentation.
func init() {
	register(Constant, Weight, Iota, DimValue, Kernel, If, Loop, Return, Yield)
	register(Neg, Abs, Sign, Exp, Log, Sqrt, Rsqrt, Reciprocal, Sin, Cos, Tanh, Sigmoid, Erf, Atan, Floor, Ceil, Round, Not)
	register(Add, Sub, Mul, Div, Rem, Pow, Max, Min, And, Or, Xor, Shl, Shr)
	register(Eq, Ne, Lt, Le, Gt, Ge, Select, Cast, Bitcast)
	register(Reduce, Cumsum, TopK, ArgMax, GroupRows)
	register(Einsum)
	register(Reshape, Transpose, Broadcast, Slice, Concat, Pad, Reverse, Window, Gather, GatherElements, ScatterElements, Update)
	register(Dequantize, Quantize, ScaledMatmul)
	register(Attention, GroupedMatmul)
}
