package plan

import (
	"math"
	"strconv"
	"strings"

	"apogee/ir/format"
)

func (t *printer) float(x float64) {
	if math.IsNaN(x) {
		t.s("nan(0x")
		t.b = strconv.AppendUint(t.b, math.Float64bits(x), 16)
		t.s(")")
		return
	}
	t.b = strconv.AppendFloat(t.b, x, 'g', -1, 64)
}

var regNames = [...]string{"block", "core", "cores"}

func (t *printer) reg(r Reg) {
	if int(r) < len(regNames) {
		t.s(regNames[r])
		return
	}
	t.s("r")
	t.i(int64(r))
}

// val writes an affine value such as block*128+r3-1.
func (t *printer) val(v Val) {
	for i, x := range v.Terms {
		if i > 0 && x.K >= 0 {
			t.s("+")
		}
		switch {
		case x.K == -1:
			t.s("-")
			t.reg(x.Reg)
		case x.K < 0: // so that a term begins with its sign
			t.s("-")
			t.reg(x.Reg)
			t.s("*")
			t.b = strconv.AppendUint(t.b, uint64(-x.K), 10)
		default:
			t.reg(x.Reg)
			if x.K != 1 {
				t.s("*")
				t.i(x.K)
			}
		}
	}
	switch {
	case len(v.Terms) == 0:
		t.i(v.C)
	case v.C > 0:
		t.s("+")
		t.i(v.C)
	case v.C < 0:
		t.i(v.C)
	}
}

// absent says whether a tile is missing, or the zero Tile that stands where an opcode takes none.
func absent(x *Tile) bool {
	return !x.Has() || x.Mem == 0 && x.Param == 0 && x.Local == 0 && x.Format == format.Invalid && len(x.Size) == 0 &&
		len(x.Stride) == 0 && x.Base.IsConst() && x.Base.C == 0 && x.Index == nil
}

// tile writes a tile as MEMORY:NAME[BASE] FORMAT{SIZE*STRIDE, …}, and an index list after "by".
func (t *printer) tile(x *Tile) {
	if absent(x) {
		t.s("_")
		return
	}
	t.ref(t.memories, x.Mem)
	t.s(":")
	if x.Mem == 0 {
		t.ref(t.params, x.Param)
	} else {
		t.ref(t.locals, x.Local)
	}
	t.s("[")
	t.val(x.Base)
	t.s("] " + x.Format.String() + "{")
	for i := 0; i < len(x.Size) || i < len(x.Stride); i++ {
		if i > 0 {
			t.s(", ")
		}
		if i < len(x.Size) {
			t.val(x.Size[i])
		}
		t.s(":")
		if i < len(x.Stride) {
			t.i(x.Stride[i])
		}
	}
	t.s("}")
	if x.Index != nil {
		t.s(" by ")
		t.tile(x.Index)
	}
}

func (t *printer) mnemonic(in *Instr) {
	if in.Op != Move {
		w := in.Word()
		own := t.words.lookup(w)
		if own != w {
			t.used[w] = true
		}
		t.s(own)
		return
	}
	mem := func(x *Tile) string {
		if x.Mem >= 0 && x.Mem < len(t.p.Memories) {
			return t.p.Memories[x.Mem].Name
		}
		return ""
	}
	own, w := t.words.move(mem(&in.A), mem(&in.Dst), in.Dst.Mem == 0, in.A.Mem == 0)
	if own != w {
		t.used[w] = true
	}
	t.s(own)
}

// instr writes an instruction: mnemonic, results "<-" operands, then what else it has as name=value.
func (t *printer) instr(in *Instr) {
	t.mnemonic(in)
	x, y, reg, flag := in.X, in.Y, in.Reg, in.Flag
	switch in.Op {
	case Loop:
		t.s(" ")
		t.reg(in.Reg)
		t.s(" from ")
		t.val(in.X)
		t.s(" times ")
		t.val(in.Y)
		x, y, reg = Val{}, Val{}, 0
	case Set:
		t.s(" ")
		t.reg(in.Reg)
		t.s(" = " + in.Fn.String() + "(")
		t.val(in.X)
		t.s(", ")
		t.val(in.Y)
		t.s(")")
		x, y, reg = Val{}, Val{}, 0
	case LoadScalar:
		t.s(" ")
		t.reg(in.Reg)
		reg = 0
	case Signal, Wait:
		t.s(" ")
		t.ref(t.flags, in.Flag)
		flag = 0
	}
	t.tiles(in)
	if in.Op < numOpcodes && !strings.HasSuffix(infos[in.Op].word, "_") && in.Op != Set && in.Fn != 0 {
		t.s(" fn=" + in.Fn.String())
	}
	if reg != 0 {
		t.s(" reg=")
		t.reg(reg)
	}
	for _, v := range [...]struct {
		key string
		val Val
	}{{"x", x}, {"y", y}, {"z", in.Z}, {"acc", in.Acc}} {
		if !v.val.IsConst() || v.val.C != 0 {
			t.s(" " + v.key + "=")
			t.val(v.val)
		}
	}
	if math.Float64bits(in.Imm) != 0 {
		t.s(" imm=")
		t.float(in.Imm)
	}
	if flag != 0 {
		t.s(" flag=")
		t.i(int64(flag))
	}
	if in.Path != 0 {
		t.s(" path=")
		t.i(int64(in.Path))
	}
	if in.Saturate {
		t.s(" sat")
	}
	if a := in.Assume; a != nil {
		t.s(" assume=")
		t.val(a.Index)
		t.s("(")
		t.i(a.Mul)
		t.s("/")
		t.i(a.Div)
		t.s(") ")
		t.quote(a.Why)
	}
}

// tiles writes the tiles: results, "<-", operands. Missing ones at the end are left out.
func (t *printer) tiles(in *Instr) {
	list := func(tiles []*Tile) int {
		for len(tiles) > 0 && absent(tiles[len(tiles)-1]) {
			tiles = tiles[:len(tiles)-1]
		}
		for i, x := range tiles {
			if i > 0 {
				t.s(",")
			}
			t.s(" ")
			t.tile(x)
		}
		return len(tiles)
	}
	all := in.Tiles()
	list(all[:Results])
	at := len(t.b)
	t.s(" <-")
	if list(all[Results:]) == 0 {
		t.b = t.b[:at]
	}
}
