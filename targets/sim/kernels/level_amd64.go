package kernels

import "golang.org/x/sys/cpu"

// hasVNNI: the AVX-512 level may use VPDPBUSD.
var hasVNNI = cpu.X86.HasAVX512VNNI

func detect() []Level {
	ls := []Level{Portable}
	x := &cpu.X86
	if x.HasAVX2 && x.HasFMA {
		ls = append(ls, AVX2)
		if x.HasBMI2 && x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL {
			ls = append(ls, AVX512)
		}
	}
	return ls
}
