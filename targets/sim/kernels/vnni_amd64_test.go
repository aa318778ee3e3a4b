package kernels

func withoutVNNI() (restore func()) {
	old := hasVNNI
	hasVNNI = false
	return func() { hasVNNI = old }
}
