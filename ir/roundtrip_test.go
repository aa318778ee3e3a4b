package ir_test

import (
	"testing"

	"apogee/ir"
)

const sample = `module @m {level="fused", "odd key"="a\nb"} {
  files ["a.mg"]
  scopes [
    "layers.0",
    "layers.1"
  ]
  func entry @prefill(%tokens: i32[B,T], %x: f32[B,T,8], state %kv: bf16[B,S,576]) -> (logits, "odd name") @1:3:1 doc "What it does.\nMore." {
    %w = weight {name="model.norm.weight", scale="s", block=[128,128]} : bf16[8] @1:12:5:2
    %0 = cast(%w) {format=f32} : f32[8] @1:12:5
    %y = mul(%x, %0) : f32[B,T,8] @0:0:0:1
    %c = constant {value=f32[] 1e-06} : f32[]
    %d = constant {value=f32[2,2] [[1, -0], [nan, 0x7fc00001]]} : f32[2,2]
    %e = constant {value=i4[3] [-8, 7, 0]} : i4[3]
    %f = constant {value=f32[2,0] []} : f32[2,0]
    %"odd value" = reduce(%y) {kind="mean", axes=[-1], keep=true} : f32[B,T,1]
    %1, %2 = top_k(%y) {k=3} : f32[B,T,3], i32[B,T,3]
    %y_1 = kernel(%y, %"odd value") {name="norm", kind="map"} (%a: f32[B,T,8], %b: f32[B,T,1]) {
      %z = mul(%a, %b) : f32[B,T,8] @1:13:1
      yield(%z)
    } : f32[B,T,8] @1:13:1:2
    return(%y_1, %1, %kv) @1:14:3
  }
  func @same(%0: f32[]) -> (y) {
    return(%0)
  }
}
`

func TestRoundTrip(t *testing.T) {
	m, err := ir.ParseString(sample)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.String(); got != sample {
		t.Errorf("printed differently:\n%s", got)
	}
}
