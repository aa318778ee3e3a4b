package regex

import "unicode/utf8"

// order lists the program's instructions so that each comes after those that it may reach without consuming text.
// Loops over nothing are refused by the parser, so that such an order exists.
func (p *program) order() []int32 {
	out := make([]int32, 0, len(p.insts))
	state := make([]uint8, len(p.insts)) // 0 new, 1 on the stack, 2 done
	type visit struct {
		pc   int32
		edge int
	}
	for root := range p.insts {
		if state[root] != 0 {
			continue
		}
		stack := []visit{{pc: int32(root)}}
		state[root] = 1
		for len(stack) > 0 {
			v := &stack[len(stack)-1]
			edges := p.insts[v.pc].epsilon()
			if v.edge == len(edges) {
				state[v.pc] = 2
				out = append(out, v.pc)
				stack = stack[:len(stack)-1]
				continue
			}
			to := edges[v.edge]
			v.edge++
			if state[to] == 0 {
				state[to] = 1
				stack = append(stack, visit{pc: to})
			}
		}
	}
	return out
}

// epsilon returns the instructions that i may reach without consuming text.
func (i *inst) epsilon() []int32 {
	switch i.op {
	case opSplit, opLook:
		return []int32{i.next, i.other}
	case opAtomic:
		if i.nullable {
			return []int32{i.next, i.other}
		}
		return []int32{i.other} // a loop of such groups leads back to itself, but further on
	case opMust:
		return []int32{i.other}
	case opAssert, opBehind:
		return []int32{i.next}
	}
	return nil
}

// fail is the table's mark for "no match from here".
const fail = -1

// table computes, for every position p of text[from:], where the preferred match that starts at p ends, or fail; the
// result is indexed by p-from. It fills columns from the right end to the left, each from the one on its right: time
// len(text) × instructions, memory one number a byte, and one more for each atomic group.
func (re *Regexp) table(text string, from int) []int {
	insts := re.plain.insts
	order := re.order
	ends := make([]int, len(text)-from+1)
	kept := map[int32][]int{} // for what follows an atomic group: its whole row
	for _, i := range insts {
		if i.op == opAtomic && kept[i.next] == nil {
			kept[i.next] = make([]int, len(ends))
		}
	}
	right, here := make([]int, len(insts)), make([]int, len(insts))
	for p := len(text); ; {
		r, width := rune(-1), 0
		if p < len(text) {
			r, width = utf8.DecodeRuneInString(text[p:])
		}
		for _, pc := range order {
			i := &insts[pc]
			v := fail
			switch i.op {
			case opMatch:
				v = p
			case opSet:
				if width > 0 && i.set.has(r) {
					v = right[i.next]
				}
			case opSplit:
				if v = here[i.next]; v == fail {
					v = here[i.other]
				}
			case opMust:
				if width > 0 && i.set.has(r) {
					v = right[i.next]
				} else {
					v = here[i.other]
				}
			case opAssert:
				if holds(i.assert, text, p) {
					v = here[i.next]
				}
			case opLook:
				if (here[i.other] != fail) != i.not {
					v = here[i.next]
				}
			case opBehind:
				if endsHere(i.behind, text, p) != i.not {
					v = here[i.next]
				}
			case opAtomic:
				if e := here[i.other]; e == p {
					v = here[i.next]
				} else if e != fail {
					v = kept[i.next][e-from]
				}
			}
			here[pc] = v
		}
		for pc, row := range kept {
			row[p-from] = here[pc]
		}
		ends[p-from] = here[re.plain.start]
		if p == from {
			return ends
		}
		_, back := utf8.DecodeLastRuneInString(text[from:p])
		for q := p - back + 1; q < p; q++ {
			ends[q-from] = fail // inside a code point
		}
		p -= back
		right, here = here, right
	}
}
