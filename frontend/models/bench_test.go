package models

import "testing"

// BenchmarkLoad is how long reading a model and its library takes.
func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := Load("deepseek_v3"); err != nil {
			b.Fatal(err)
		}
	}
}
