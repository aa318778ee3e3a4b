package mg

import (
	"strings"
	"testing"

	"apogee/ir/diag"
	"apogee/ir/format"
)

const settable = `
config {
  width: int = 4 where > 0
  deep: {
    n: int = 1
  }?
}

options {
  mode: "fast" | "slow" = "fast"
}

entry first(x: act[B, 4]) -> (y: act[B, 4]) {
  tap "x.0", x
  tap "x.1", -x
  if options.mode == "fast" { x } else { x * config.width }
}

entry second(x: f32[T]) -> (y: f32[T]) { x }
`

// TestSettings holds what options, symbols, entries and taps do, and what is said about those that are not there.
func TestSettings(t *testing.T) {
	p, err := Load(diag.NewSource("a.mg", []byte(settable)), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		opt  Options
		want []string // in the module, or in the error where fail is set
		fail bool
	}{
		"default":       {Options{}, []string{"func entry @first(%x: f32[B,4])", "func entry @second"}, false},
		"option":        {Options{Set: map[string]string{"mode": "slow"}}, []string{"constant {value=f32[] 4}"}, false},
		"config":        {Options{Set: map[string]string{"mode": "slow", "width": "7"}}, []string{"constant {value=f32[] 7}"}, false},
		"full name":     {Options{Set: map[string]string{"options.mode": "slow", "config.width": "8"}}, []string{"constant {value=f32[] 8}"}, false},
		"symbol":        {Options{Set: map[string]string{"B": "3"}}, []string{"%x: f32[3,4]"}, false},
		"bind":          {Options{Bind: map[string]int64{"B": 5, "T": 6}}, []string{"%x: f32[5,4]", "%x: f32[6]"}, false},
		"act":           {Options{Activation: format.BF16}, []string{"@first(%x: bf16[B,4])", "@second(%x: f32[T])"}, false},
		"entry":         {Options{Entries: []string{"second"}}, []string{"func entry @second"}, false},
		"taps":          {Options{Taps: []string{"x.*"}, Entries: []string{"first"}}, []string{"-> (y, x.0, x.1)"}, false},
		"one tap":       {Options{Taps: []string{"x.1"}, Entries: []string{"first"}}, []string{"-> (y, x.1)"}, false},
		"no option":     {Options{Set: map[string]string{"mod": "slow"}}, []string{CodeSet, "mod is no option, field of config or dimension", `did you mean "mode"`}, true},
		"no choice":     {Options{Set: map[string]string{"mode": "slwo"}}, []string{CodeConfigType, `expected "fast" | "slow", found "slwo"`, `did you mean "slow"`}, true},
		"no number":     {Options{Set: map[string]string{"width": "wide"}}, []string{CodeConfigType, `config.width cannot be set to "wide"`}, true},
		"out of bounds": {Options{Set: map[string]string{"width": "0"}}, []string{CodeConfigWhere, "expected > 0, found 0"}, true},
		"no dimension":  {Options{Set: map[string]string{"B": "-1"}}, []string{CodeSet, "a dimension is a number, at least 0"}, true},
		"no entry":      {Options{Entries: []string{"frist"}}, []string{CodeSet, `no entry "frist"`, "expected one of first, second", `did you mean "first"`}, true},
		"no tap":        {Options{Taps: []string{"y.*"}}, []string{CodeSet, `no tap of a is named "y.*"`, "expected one of x.0, x.1"}, true},
		"bad pattern":   {Options{Taps: []string{"["}}, []string{CodeSet, `"[" is not a pattern`}, true},
	} {
		t.Run(name, func(t *testing.T) {
			low, err := Lower(p, c.opt)
			text := ""
			switch {
			case c.fail && err == nil:
				t.Fatal("no error")
			case c.fail:
				text = err.Error()
			case err != nil:
				t.Fatal(err)
			default:
				text = low.Module.String()
			}
			for _, w := range c.want {
				if !strings.Contains(text, w) {
					t.Errorf("%q is not in\n%s", w, text)
				}
			}
		})
	}
	low, err := Lower(p, Options{})
	if err != nil || strings.Join(low.Taps, " ") != "x.0 x.1" {
		t.Errorf("taps %v, %v", low.Taps, err)
	}
	if got := strings.Join(p.Entries(), " ") + " | " + strings.Join(p.Symbols(), " ") + " | " + strings.Join(p.ConfigFields(), " "); got != "first second | B T | width deep" {
		t.Error(got)
	}
}

// TestJSON holds what is said about a config.json that is none.
func TestJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"a": 1`:                  "c.json:1:8: error[MG201]: not valid JSON: the text ends too early",
		`{"a" 1}`:                  "c.json:1:6: error[MG201]: not valid JSON",
		`{"a": 1, "a": 2}`:         `c.json:1:10: error[MG201]: "a" is given twice`,
		`{} {}`:                    "expected nothing after the value",
		strings.Repeat("[", 10000): "nested more than 64 deep",
		"{\"a\": 01}":              "c.json:1:8: error[MG201]",
	} {
		var diags diag.List
		ParseJSON(diag.NewSource("c.json", []byte(text)), &diags)
		if !diags.HasErrors() || !strings.Contains(diags.Error(), want) {
			t.Errorf("%.40s: expected %q, found %v", text, want, diags.Error())
		}
	}
	var diags diag.List
	j := ParseJSON(diag.NewSource("c.json", []byte(`{"a": [1, {"b": "x"}], "c": null}`)), &diags)
	if diags.HasErrors() || j.Get("a").String() != "[1, an object]" || j.Get("c").Value != nil || j.Get("d").Get("e") != nil {
		t.Errorf("%v %v", j, &diags)
	}
}
