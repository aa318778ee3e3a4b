package passes

// MaxLevel is the highest optimisation level.
const MaxLevel = 1

// Default returns the pipeline of a level: 0 makes kernels with as little rewriting as can be, 1 is what users get.
func Default(level int) string {
	if level <= 0 {
		return "specialise,canonicalise,dce,precision,legalise,dce,fuse{max=1}"
	}
	return "specialise,canonicalise,fold,unroll,cse,dce,absorb,recognise,precision,canonicalise,unroll,legalise,fold,cse,dce,fuse"
}

func makeTable() []*Info {
	return []*Info{
		specialiseInfo, canonicaliseInfo, foldInfo, unrollInfo, cseInfo, dceInfo, absorbInfo, recogniseInfo, precisionInfo, legaliseInfo, fuseInfo,
	}
}
