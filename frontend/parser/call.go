package parser

import "github.com/millrace/millrace/internal/sqlerr"

// call parses the parenthesised arguments of a function and, unless windowless, the clauses after them.
// A call followed by a string literal is a literal of a type with modifiers.
func (p *parser) call(name Name, windowless bool) Expr {
	f := &FuncCall{Loc: name.Loc, Name: name}
	p.expectPunct("(")
	p.callArgs(f)
	p.expectPunct(")")
	if p.cur().kind == tokString && !windowless && isModifierList(f) {
		return p.typeWithModifiers(f)
	}
	if !windowless {
		p.callClauses(f)
	}
	return f
}

// isModifierList says whether the arguments may be the modifiers of a type.
func isModifierList(f *FuncCall) bool {
	return len(f.Args) > 0 && !f.Distinct && !f.Variadic && !f.IgnoreNulls && f.PartitionBy == nil
}

func (p *parser) typeWithModifiers(f *FuncCall) Expr {
	typ := &TypeName{Loc: f.Loc, Name: f.Name}
	for _, a := range f.Args {
		if a.Name != "" {
			p.errorAt(sqlerr.SyntaxError, a.Value.At(), "type modifier cannot have parameter name")
		}
		typ.Mods = append(typ.Mods, a.Value)
	}
	if f.OrderBy != nil {
		p.errorAt(sqlerr.SyntaxError, f.Pos, "type modifier cannot have ORDER BY")
	}
	return &Cast{f.Loc, p.literal(), typ}
}

// callArgs parses what stands between the parentheses.
func (p *parser) callArgs(f *FuncCall) {
	switch {
	case p.isPunct(")"):
		return
	case p.takeOp("*"):
		f.Star = true
		return
	}
	quantifier := p.takeAny("all", "distinct")
	f.Distinct = quantifier == "distinct"
	for more := true; more; more = !f.Variadic && p.takePunct(",") {
		if quantifier != "" && p.is("variadic") {
			p.fail()
		}
		f.Variadic = p.take("variadic")
		f.Args = append(f.Args, p.arg())
	}
	f.IgnoreNulls = p.takeWords("ignore", "nulls")
	if p.takeWords("partition", "by") {
		f.PartitionBy = p.exprList()
	}
	f.OrderBy = p.optOrderBy()
}

// arg parses an argument, which may be named.
func (p *parser) arg() Arg {
	t, next := p.cur(), p.peek(1)
	if (next.isPunct("=>") || next.isPunct(":=")) && t.canBe(isFuncID) {
		p.advance()
		p.advance()
		return Arg{t.val, p.expr()}
	}
	return Arg{Value: p.expr()}
}

// callClauses parses WITHIN GROUP, FILTER and OVER.
func (p *parser) callClauses(f *FuncCall) {
	at := p.pos()
	if p.takeWords("within", "group") {
		p.parens(func() { f.WithinGroup = p.orderBy() })
		switch {
		case f.OrderBy != nil:
			p.errorAt(sqlerr.SyntaxError, at, "cannot use multiple ORDER BY clauses with WITHIN GROUP")
		case f.Distinct:
			p.errorAt(sqlerr.SyntaxError, at, "cannot use DISTINCT with WITHIN GROUP")
		case f.Variadic:
			p.errorAt(sqlerr.SyntaxError, at, "cannot use VARIADIC with WITHIN GROUP")
		}
	}
	if p.take("filter") {
		p.parens(func() {
			p.expect("where")
			f.Filter = p.expr()
		})
	}
	if p.takeWords("ignore", "nulls") {
		f.IgnoreNulls = true
	} else {
		p.takeWords("respect", "nulls")
	}
	if p.is("over") {
		f.Over = p.over()
	}
}

// over parses OVER name or OVER (…).
func (p *parser) over() *WindowSpec {
	loc := p.loc()
	p.advance()
	if p.isPunct("(") {
		return p.windowSpec()
	}
	return &WindowSpec{Loc: loc, Ref: p.colID().Name, Bare: true}
}

// windowSpec parses ([name] [PARTITION BY …] [ORDER BY …] [frame]).
func (p *parser) windowSpec() *WindowSpec {
	w := &WindowSpec{Loc: p.loc()}
	p.parens(func() {
		if p.isColID() && !p.isAny("partition", "range", "rows", "groups") && !p.isWords("session", "with") {
			w.Ref = p.colID().Name
		}
		if p.take("partition") {
			p.expect("by")
			w.PartitionBy = p.exprList()
		}
		w.OrderBy = p.optOrderBy()
		if p.isAny("range", "rows", "groups", "session") {
			w.Frame = p.frame()
		}
	})
	return w
}

var frameUnits = map[string]FrameUnit{"range": FrameRange, "rows": FrameRows, "groups": FrameGroups, "session": FrameSession}

func (p *parser) frame() *Frame {
	f := &Frame{Loc: p.loc(), Unit: frameUnits[p.cur().val]}
	p.advance()
	if f.Unit == FrameSession {
		p.expect("with", "gap")
		f.Gap = p.expr()
		return f
	}
	if f.Between = p.take("between"); f.Between {
		f.Start = p.frameBound()
		p.expect("and")
		f.End = p.frameBound()
	} else {
		f.Start = p.frameBound()
		f.End = FrameBound{Loc: f.Start.Loc, Kind: CurrentRow}
	}
	p.checkFrame(f)
	if p.take("exclude") {
		f.Exclude = p.frameExclude()
	}
	return f
}

func (p *parser) checkFrame(f *Frame) {
	bad := func(at Loc, text string) { p.errorAt(sqlerr.WindowingError, at.Pos, "%s", text) }
	switch {
	case f.Start.Kind == UnboundedFollowing:
		bad(f.Start.Loc, "frame start cannot be UNBOUNDED FOLLOWING")
	case f.End.Kind == UnboundedPreceding:
		bad(f.End.Loc, "frame end cannot be UNBOUNDED PRECEDING")
	case !f.Between && f.Start.Kind == OffsetFollowing:
		bad(f.Start.Loc, "frame starting from following row cannot end with current row")
	case f.Start.Kind == CurrentRow && f.End.Kind == OffsetPreceding:
		bad(f.End.Loc, "frame starting from current row cannot have preceding rows")
	case f.Start.Kind == OffsetFollowing && (f.End.Kind == OffsetPreceding || f.End.Kind == CurrentRow):
		bad(f.End.Loc, "frame starting from following row cannot have preceding rows")
	}
}

func (p *parser) frameBound() FrameBound {
	b := FrameBound{Loc: p.loc()}
	switch {
	case p.takeWords("unbounded", "preceding"):
		b.Kind = UnboundedPreceding
	case p.takeWords("unbounded", "following"):
		b.Kind = UnboundedFollowing
	case p.takeWords("current", "row"):
		b.Kind = CurrentRow
	default:
		b.X = p.expr()
		b.Kind = OffsetPreceding
		if !p.take("preceding") {
			p.expect("following")
			b.Kind = OffsetFollowing
		}
	}
	return b
}

func (p *parser) frameExclude() FrameExclude {
	switch {
	case p.takeWords("current", "row"):
		return ExcludeCurrentRow
	case p.take("group"):
		return ExcludeGroup
	case p.take("ties"):
		return ExcludeTies
	}
	p.expect("no", "others")
	return ExcludeNone
}

// special parses the calls that have a syntax of their own; nil if the word begins none here.
func (p *parser) special(t *token) Expr {
	if t.val == "current_schema" && !p.peek(1).isPunct("(") && p.peek(1).kind != tokString {
		p.advance()
		return &SQLValue{Loc{t.pos}, t.val, -1}
	}
	if t.val == "collation" && p.peek(1).isWord("for") {
		return p.collationFor()
	}
	if !p.peek(1).isPunct("(") {
		return nil
	}
	if t.val == "exists" {
		p.advance()
		return &Subquery{Loc{t.pos}, Exists, p.selectWithParens()}
	}
	if t.val == "row" {
		return p.explicitRow()
	}
	parse := specialForm(t.val)
	if parse == nil {
		return nil
	}
	p.advance()
	p.expectPunct("(")
	f := &FuncCall{Loc: Loc{t.pos}, Name: Name{Loc{t.pos}, []string{t.val}}}
	parse(p, f)
	p.expectPunct(")")
	return f
}

// specialForm returns the parser of what stands between the parentheses of a special call, nil if the
// word begins none; it fills the call.
func specialForm(word string) func(p *parser, f *FuncCall) {
	switch word {
	case "coalesce", "greatest", "least", "grouping":
		return (*parser).plainArgs
	case "nullif":
		return (*parser).nullIf
	case "extract":
		return (*parser).extract
	case "position":
		return (*parser).position
	case "substring":
		return (*parser).substring
	case "overlay":
		return (*parser).overlay
	case "trim":
		return (*parser).trim
	case "normalize":
		return (*parser).normalize
	}
	return nil
}

func (f *FuncCall) add(args ...Expr) {
	for _, a := range args {
		f.Args = append(f.Args, Arg{Value: a})
	}
}

func (p *parser) plainArgs(f *FuncCall) { f.add(p.exprList()...) }

func (p *parser) nullIf(f *FuncCall) {
	f.add(p.expr())
	p.expectPunct(",")
	f.add(p.expr())
}

// extract parses field FROM x; the field is a word or a string.
func (p *parser) extract(f *FuncCall) {
	t := p.cur()
	_, unit := intervalRank[t.val]
	if t.kind != tokString && t.kind != tokQuoted && (t.kind != tokWord || t.cat != catNone && !unit) {
		p.fail()
	}
	p.advance()
	p.expect("from")
	f.add(&StringLit{Loc{t.pos}, t.val}, p.expr())
}

// position parses needle IN text.
func (p *parser) position(f *FuncCall) {
	needle := p.restrictedExpr()
	p.expect("in")
	f.add(p.restrictedExpr(), needle)
}

// substring parses x FROM a FOR b in either order, x SIMILAR pattern ESCAPE e, or plain arguments.
func (p *parser) substring(f *FuncCall) {
	if p.isPunct(")") {
		return
	}
	p.optArgs(f)
	if len(f.Args) != 1 || f.Args[0].Name != "" {
		return
	}
	switch {
	case p.take("similar"):
		f.Similar = true
		f.add(p.expr())
		p.expect("escape")
		f.add(p.expr())
	case p.take("from"):
		f.add(p.expr())
		if p.take("for") {
			f.add(p.expr())
		}
	case p.is("for"):
		loc := p.loc()
		p.advance()
		length := p.expr()
		from := Expr(&NumberLit{loc, "1", true})
		if p.take("from") {
			from = p.expr()
		}
		f.add(from, length)
	}
}

// optArgs parses arguments that may be named.
func (p *parser) optArgs(f *FuncCall) {
	p.list(func() { f.Args = append(f.Args, p.arg()) })
}

// overlay parses x PLACING y FROM a [FOR b], or plain arguments.
func (p *parser) overlay(f *FuncCall) {
	if p.isPunct(")") {
		return
	}
	p.optArgs(f)
	if len(f.Args) != 1 || !p.take("placing") {
		return
	}
	f.add(p.expr())
	p.expect("from")
	f.add(p.expr())
	if p.take("for") {
		f.add(p.expr())
	}
}

var trimFuncs = map[string]string{"": "btrim", "both": "btrim", "leading": "ltrim", "trailing": "rtrim"}

// trim parses [BOTH|LEADING|TRAILING] [chars] FROM x, or x, chars.
func (p *parser) trim(f *FuncCall) {
	f.Name.Parts = []string{trimFuncs[p.takeAny("both", "leading", "trailing")]}
	if p.take("from") {
		f.add(p.exprList()...)
		return
	}
	list := p.exprList()
	if len(list) == 1 && p.take("from") {
		list = append(p.exprList(), list[0])
	}
	f.add(list...)
}

// normalize parses x [, form].
func (p *parser) normalize(f *FuncCall) {
	f.add(p.expr())
	if p.takePunct(",") {
		loc := p.loc()
		form := p.normalForm()
		if form == "" {
			p.fail()
		}
		f.add(&StringLit{loc, form})
	}
}

func (p *parser) collationFor() Expr {
	loc := p.loc()
	p.expect("collation", "for")
	f := &FuncCall{Loc: loc, Name: Name{loc, []string{"pg_collation_for"}}}
	p.parens(func() { f.add(p.expr()) })
	return f
}

// explicitRow parses ROW(…).
func (p *parser) explicitRow() Expr {
	r := &Row{Loc: p.loc(), Explicit: true}
	p.advance()
	p.parens(func() {
		if !p.isPunct(")") {
			r.Elems = p.exprList()
		}
	})
	return p.overlaps(r)
}
