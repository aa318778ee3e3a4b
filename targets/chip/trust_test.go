package chip

import (
	"math"
	"strings"
	"testing"

	"apogee/targets/chips"
)

// The grades are those that a person gave who surveyed what is published, computed from confidences alone; where more was found since, it
// says so here.
func TestGrades(t *testing.T) {
	want := map[string]string{}
	for grade, names := range map[string]string{
		"good": "nvidia-h100 nvidia-h800 nvidia-h20 nvidia-a100 nvidia-h200 ascend-910b1 ascend-910b2 ascend-910b3 ascend-910b4 ascend-910c-die " +
			"ascend-950pr ascend-950dt hygon-bw1000",
		"fair": "metax-c500 metax-c550 mtt-s5000 mtt-s4000 mtt-s80 biren-br100 biren-br104 mlu370-x8 ascend-310p iluvatar-bi-v150 kunlunxin-p800 " +
			"kunlunxin-r200 enflame-t20 loongson-3a6000",
		"not credible": "biren-br106 biren-br166 metax-c600 enflame-s60 enflame-l600 iluvatar-mr-v100 iluvatar-bi-v100 mlu590 hygon-k100 " +
			"hygon-k100-ai loongson-3c6000 loongson-2k3000 corerain-caisa intellifusion-deepedge10 lynxi-ka200 tsingmicro-tx81 xindongli-rpp",
	} {
		for _, n := range strings.Fields(names) {
			want[n] = grade
		}
	}
	// hygon-z100, sophgo-bm1690, streamcomputing-stcp920 and tecorigin-t100 were "not credible" there: figures of cores, memories or
	// instructions were found since.
	have := map[string]bool{}
	for _, n := range chips.List() {
		have[n] = true
		c, err := Load(n)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, x := range c.Leanings() {
			sum += x.Weight
			if x.Known < 0 || x.Known > 1 {
				t.Errorf("%s: %s is known to %g", n, x.Name, x.Known)
			}
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Errorf("%s: weights sum up to %g", n, sum)
		}
		if g, part := c.Grade(); want[n] != "" && g.String() != want[n] {
			t.Errorf("%s is %s (%.2f), want %s: %+v", n, g, part, want[n], c.Leanings())
		}
		if !strings.HasPrefix(c.Trust(), "good, ") && !strings.HasPrefix(c.Trust(), "fair, ") && !strings.HasPrefix(c.Trust(), "not credible, ") {
			t.Errorf("%s: the trust line does not begin with the grade: %s", n, c.Trust())
		}
	}
	for n := range want {
		if !have[n] {
			t.Errorf("%s is not shipped", n)
		}
	}
}

// Doubting the number that decides lowers the grade; doubting one that does not, does not.
func TestGradeFollowsConfidence(t *testing.T) {
	grade := func(body string) Grade {
		c, _ := with(t, body)
		g, _ := c.Grade()
		return g
	}
	if g := grade(`reached f16 8 TFLOPS measured "me"`); g != Good {
		t.Errorf("published and measured: %s", g)
	}
	if g := grade(""); g != Good {
		t.Errorf("all published: %s", g)
	}
	if g := grade(`memory gm { bandwidth 400 GB/s assumed "guess" }`); g != NotCredible {
		t.Errorf("the bandwidth is a guess: %s", g)
	}
	if g := grade(`barrier 2 us assumed "guess"`); g != Good {
		t.Errorf("the barrier is a guess: %s", g)
	}
	if g := grade("memory gm { bandwidth 400 GB/s reported \"a\" }\n path gm -> l1 { rate 128 B/cycle assumed \"x\" }\n path l1 -> gm { rate 128 B/cycle assumed \"x\" }"); g != Fair {
		t.Errorf("paths are guesses: %s", g)
	}
}
