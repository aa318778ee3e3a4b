package mg

// expr prints operands with their operators; a line breaks after an operator.
func (f *formatter) expr(e *Expr) *doc {
	first := f.unary(e.First)
	if len(e.Rest) == 0 {
		return first
	}
	kids := []*doc{first}
	for _, t := range e.Rest {
		if t.Op.Value == ".." {
			n := len(kids) - 1
			kids[n] = cat(kids[n], f.token(), f.unary(t.Right))
			continue
		}
		n := len(kids) - 1
		kids[n] = cat(kids[n], text(" "), f.token())
		kids = append(kids, line(), f.unary(t.Right))
	}
	return indent(with(docFill, kids))
}

func (f *formatter) unary(u *Unary) *doc {
	var kids []*doc
	for _, s := range u.Ops {
		kids = append(kids, f.token())
		if s.Op.Value == "not" {
			kids = append(kids, text(" "))
		}
	}
	kids = append(kids, f.postfix(u.Operand))
	if len(kids) == 1 {
		return kids[0]
	}
	return cat(kids...)
}

func (f *formatter) postfix(p *Postfix) *doc {
	base := f.primary(p.Base)
	if len(p.Suffixes) == 0 {
		return base
	}
	kids := []*doc{base}
	for _, s := range p.Suffixes {
		switch s := s.(type) {
		case *Member:
			kids = append(kids, f.token(), f.token())
		case *Call:
			kids = append(kids, f.items("()", len(s.Args), func(i int) *doc {
				a := s.Args[i]
				if a.Value == nil {
					return f.expr(a.Name)
				}
				return cat(f.expr(a.Name), f.token(), f.expr(a.Value))
			}))
		case *Index:
			kids = append(kids, f.items("[]", len(s.Items), func(i int) *doc { return f.indexItem(s.Items[i]) }))
		}
	}
	return cat(kids...)
}

func (f *formatter) indexItem(it *IndexItem) *doc {
	var kids []*doc
	if it.Rest {
		return f.token()
	}
	slice := it.Bare
	if it.From != nil {
		kids = append(kids, f.expr(it.From))
		slice = it.Slice
	}
	if slice != nil {
		kids = append(kids, f.token())
		if slice.To != nil {
			kids = append(kids, f.expr(slice.To))
		}
		if slice.Step != nil {
			kids = append(kids, f.token(), f.expr(slice.Step))
		}
	}
	return cat(kids...)
}

func (f *formatter) primary(x Primary) *doc {
	switch x := x.(type) {
	case *Paren:
		if len(x.Items) == 1 {
			kids := []*doc{f.token(), f.expr(x.Items[0])}
			if trailingComma(x) {
				kids = append(kids, f.comma())
			}
			return cat(append(kids, f.token())...)
		}
		return f.items("()", len(x.Items), func(i int) *doc { return f.expr(x.Items[i]) })
	case *List:
		return f.list(x)
	case *If:
		return f.ifExpr(x)
	}
	return f.token()
}

func (f *formatter) list(x *List) *doc {
	if x.Gen == nil {
		all := append(x.Items[:len(x.Items):len(x.Items)], x.More...)
		return f.items("[]", len(all), func(i int) *doc { return f.item(all[i]) })
	}
	open := f.token()
	kids := []*doc{{kind: docSoft}, f.item(x.Items[0]), line(), f.token(), text(" "), f.token(), text(" "), f.token(), text(" "), f.expr(x.Gen.Over)}
	if x.Gen.Cond != nil {
		kids = append(kids, line(), f.token(), text(" "), f.expr(x.Gen.Cond))
	}
	for _, m := range x.More { // not allowed, but printed all the same
		kids = append(kids, f.comma(), text(" "), f.item(m))
	}
	f.skip(",")
	return group(open, indent(kids...), &doc{kind: docSoft}, f.token())
}

// ifExpr prints a choice on one line where each block is a single expression and it fits.
func (f *formatter) ifExpr(x *If) *doc {
	short := shortBlock(x.Then)
	for _, e := range x.Else {
		short = short && shortBlock(e.Then)
	}
	block := f.block
	if short {
		block = f.shortBlock
	}
	kids := []*doc{f.token(), text(" "), f.expr(x.Cond), text(" "), block(x.Then)}
	for _, e := range x.Else {
		kids = append(kids, text(" "), f.token(), text(" "))
		if e.Cond != nil {
			kids = append(kids, f.token(), text(" "), f.expr(e.Cond), text(" "))
		}
		kids = append(kids, block(e.Then))
	}
	return group(kids...)
}

func shortBlock(b *Block) bool {
	if len(b.Stmts) != 1 {
		return false
	}
	e, ok := b.Stmts[0].(*ExprStmt)
	return ok && e.Value == nil
}

// shortBlock prints a block of one expression, on one line where the whole choice fits.
func (f *formatter) shortBlock(b *Block) *doc {
	open := f.token()
	body := f.lines(1, func(i int) *doc { return f.stmt(b.Stmts[i]) }, nil)
	return cat(open, indent(line(), body), line(), f.token())
}
