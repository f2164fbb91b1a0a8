package expr

// Fold evaluates what does not depend on input, settings or time, and simplifies AND, OR, NOT, CASE and COALESCE
// around constants. A part whose evaluation fails stays as it is: the error belongs to the rows that reach it.
func Fold(e Expr) Expr { return Transform(e, foldNode) }

func foldNode(e Expr) Expr {
	switch x := e.(type) {
	case *Const, *Col, *Param:
		return e
	case *BoolOp:
		return foldBool(x)
	case *Case:
		return foldCase(x)
	case *Coalesce:
		return foldCoalesce(x)
	case *Call:
		if f, ok := BySig(x.Sig); ok && f.Nulls == Strict && f.Volatility != Volatile && anyNull(x.Args) {
			return Null(x.Ty)
		}
	}
	if foldable(e) {
		return evaluate(e)
	}
	return e
}

// foldable says that e is made of constants by immutable means. Its children are folded already, so it is
// enough that they are constants.
func foldable(e Expr) bool {
	switch x := e.(type) {
	case *Call:
		f, ok := BySig(x.Sig)
		if !ok || f.Volatility != Immutable {
			return false
		}
	case *AnyAll:
		f, ok := BySig(x.Sig)
		if !ok || f.Volatility != Immutable {
			return false
		}
	case *Cast:
		if castVolatility(x.Arg.Type(), x.Ty) != Immutable {
			return false
		}
	case *ToDomain:
		if x.volatility() != Immutable {
			return false
		}
	case *Not, *IsNull, *InList, *MakeArray, *MakeRow, *Field:
	default:
		return false
	}
	for _, c := range Children(e) {
		if _, ok := c.(*Const); !ok {
			return false
		}
	}
	return true
}

func evaluate(e Expr) Expr {
	d, err := EvalConst(&Ctx{}, e)
	if err != nil {
		return e
	}
	return &Const{Ty: e.Type(), Val: d}
}

// anyNull reports a constant NULL among the arguments. (Other arguments that would fail need not be evaluated:
// a strict function is not called.)
func anyNull(args []Expr) bool {
	for _, a := range args {
		if c, ok := a.(*Const); ok && c.Val == nil {
			return true
		}
	}
	return false
}

// truth reads a constant condition.
func truth(e Expr) (value, null, ok bool) {
	c, ok := e.(*Const)
	if !ok {
		return false, false, false
	}
	b, isBool := c.Val.(bool)
	return b, c.Val == nil, isBool || c.Val == nil
}

// foldBool flattens nested operands, drops those that change nothing and stops at one that decides.
func foldBool(x *BoolOp) Expr {
	var args []Expr
	changed, sawNull := false, false
	for _, a := range flatten(x) {
		v, null, ok := truth(a)
		switch {
		case ok && null:
			if sawNull {
				changed = true
				continue
			}
			sawNull = true
			args = append(args, a)
		case ok && v == x.Or:
			// The operands before it might fail, but they cannot change the answer.
			return &Const{Ty: x.Type(), Val: v}
		case ok:
			changed = true
		default:
			args = append(args, a)
		}
	}
	switch {
	case len(args) == 0:
		return &Const{Ty: x.Type(), Val: !x.Or}
	case len(args) == 1:
		return args[0]
	case changed || len(args) != len(x.Args):
		return &BoolOp{x.Or, args}
	}
	return x
}

func flatten(x *BoolOp) []Expr {
	var out []Expr
	for _, a := range x.Args {
		if b, ok := a.(*BoolOp); ok && b.Or == x.Or {
			out = append(out, b.Args...)
		} else {
			out = append(out, a)
		}
	}
	return out
}

// foldCase drops branches that are never taken and everything behind one that always is.
func foldCase(x *Case) Expr {
	c := &Case{Ty: x.Ty, Else: x.Else}
	for _, w := range x.Whens {
		v, _, ok := truth(w.Cond)
		switch {
		case ok && v:
			c.Else = w.Then
			return caseOf(c, x)
		case ok:
			continue
		}
		c.Whens = append(c.Whens, w)
	}
	return caseOf(c, x)
}

func caseOf(c, x *Case) Expr {
	switch {
	case len(c.Whens) == 0 && c.Else == nil:
		return Null(x.Ty)
	case len(c.Whens) == 0:
		return c.Else
	case len(c.Whens) == len(x.Whens) && c.Else == x.Else:
		return x
	}
	return c
}

// foldCoalesce drops NULLs and what stands behind a value.
func foldCoalesce(x *Coalesce) Expr {
	var args []Expr
	for _, a := range x.Args {
		c, ok := a.(*Const)
		if ok && c.Val == nil {
			continue
		}
		args = append(args, a)
		if ok {
			break
		}
	}
	switch {
	case len(args) == 0:
		return Null(x.Ty)
	case len(args) == 1 && args[0].Type() == x.Ty:
		return args[0]
	case len(args) == len(x.Args):
		return x
	}
	return &Coalesce{args, x.Ty}
}
