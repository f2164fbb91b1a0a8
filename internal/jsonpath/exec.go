package jsonpath

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Options are what an evaluation depends on besides path and document.
type Options struct {
	Vars   []byte // an object; nil: no variables
	Silent bool   // structural and numeric errors give no result instead
	// Zone, when it is set, lets values with and without a zone be compared (the functions that end in _tz). Now is
	// the moment that says what offset a bare time has.
	Zone *time.Location
	Now  int64
}

// status is what a walk came to.
type status uint8

const (
	found status = iota
	nothing
	failed
)

// truth is SQL's boolean.
type truth uint8

const (
	no truth = iota
	yes
	unknown
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// item is one value of a sequence: JSON, or a date or time, which JSON has not.
type item struct {
	v  []byte
	at *datetime.Item
}

func (it item) kind() jsonb.Kind { return jsonb.KindOf(it.v) }

func (it item) is(k jsonb.Kind) bool { return it.at == nil && it.kind() == k }

func (it item) isContainer() bool { return it.is(jsonb.Array) || it.is(jsonb.Object) }

// json is the item as it leaves the evaluation.
func (it item) json() []byte {
	if it.at != nil {
		return jsonb.FromString(string(it.at.AppendText(nil)))
	}
	return it.v
}

// base is the document that an object's id is counted in, with its own number.
type base struct {
	doc []byte
	id  int64
}

// walk is one evaluation. Functions of it that collect take out, nil when only existence matters; an error that they
// return ends the evaluation, failed without an error is what a silent one or a filter sees.
type walk struct {
	Options
	lax       bool
	root      item
	current   item
	base      base
	lastID    int64
	arraySize int  // of the innermost subscripted array, −1 for none
	ignore    bool // structural errors
	throw     bool // other errors
}

func (p *Path) walk(doc []byte, o Options) (*walk, error) {
	if o.Vars != nil && jsonb.KindOf(o.Vars) != jsonb.Object {
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "\"vars\" argument is not an object").
			WithDetail("%s", `Jsonpath parameters should be encoded as key-value pairs of "vars" object.`)
	}
	w := &walk{Options: o, lax: !p.Strict, root: item{v: doc}, current: item{v: doc}, lastID: 1, arraySize: -1, ignore: !p.Strict, throw: !o.Silent}
	if o.Vars != nil {
		w.lastID = 2
	}
	return w, nil
}

// Exists says whether the path selects anything; ok is false for an unknown answer, of a silent evaluation that failed.
func (p *Path) Exists(doc []byte, o Options) (exists, ok bool, err error) {
	w, err := p.walk(doc, o)
	if err != nil {
		return false, false, err
	}
	var out *[]item
	if p.Strict { // every error counts, so all of the path must be walked
		out = new([]item)
	}
	st, err := w.item(p.root, w.root, out)
	if err != nil || st == failed {
		return false, false, err
	}
	if out != nil {
		return len(*out) > 0, true, nil
	}
	return st == found, true, nil
}

// Query lists what the path selects; when a silent evaluation fails, what it had found until then.
func (p *Path) Query(doc []byte, o Options) (values [][]byte, err error) {
	w, err := p.walk(doc, o)
	if err != nil {
		return nil, err
	}
	var out []item
	if _, err := w.item(p.root, w.root, &out); err != nil {
		return nil, err
	}
	for _, it := range out {
		values = append(values, it.json())
	}
	return values, nil
}

// Match is the value of a predicate; ok is false for unknown. Error: 22038 when the result is no single boolean.
func (p *Path) Match(doc []byte, o Options) (match, ok bool, err error) {
	values, err := p.Query(doc, o)
	if err != nil {
		return false, false, err
	}
	if len(values) == 1 {
		switch jsonb.KindOf(values[0]) {
		case jsonb.Bool:
			match, _ = jsonb.BoolValue(values[0])
			return match, true, nil
		case jsonb.Null:
			return false, false, nil
		}
	}
	if !o.Silent {
		err = sqlerr.New(sqlerr.SingletonJSONItemRequired, "single boolean result is expected")
	}
	return false, false, err
}

// fail reports an error, unless errors are answers here.
func (w *walk) fail(err error) (status, error) {
	if w.throw {
		return failed, err
	}
	return failed, nil
}

// structural is fail for what lax mode overlooks.
func (w *walk) structural(code sqlerr.Code, format string, args ...any) (status, error) {
	if w.ignore {
		return nothing, nil
	}
	return w.fail(sqlerr.New(code, format, args...))
}

// emit hands it to the step n, or puts it out when there is none.
func (w *walk) emit(n *node, it item, out *[]item) (status, error) {
	if n != nil {
		return w.item(n, it, out)
	}
	if out != nil {
		*out = append(*out, it)
	}
	return found, nil
}

func (w *walk) item(n *node, it item, out *[]item) (status, error) { return w.step(n, it, out, w.lax) }

// step evaluates n on it; unwrap says that an array stands for its elements.
func (w *walk) step(n *node, it item, out *[]item, unwrap bool) (status, error) {
	switch n.kind {
	case kNull, kBool, kNumber, kString:
		return w.emit(n.next, item{v: n.literal()}, out)
	case kVariable:
		return w.variable(n, out)
	case kRoot:
		saved := w.base
		w.base = base{w.root.v, 0}
		st, err := w.emit(n.next, w.root, out)
		w.base = saved
		return st, err
	case kCurrent:
		return w.emit(n.next, w.current, out)
	case kLast:
		return w.emit(n.next, item{v: jsonb.FromNumeric(numeric.FromInt64(int64(w.arraySize - 1)))}, out)
	case kAnyArray:
		if it.is(jsonb.Array) {
			return w.elements(n.next, it, out, w.lax)
		}
		if w.lax {
			return w.emit(n.next, it, out)
		}
		return w.structural(sqlerr.JSONArrayNotFound, "jsonpath wildcard array accessor can only be applied to an array")
	case kIndex:
		return w.index(n, it, out)
	case kAnyLevel:
		return w.levels(n, it, out)
	case kType:
		name := it.kind().String()
		if it.at != nil {
			name = it.at.Kind.String()
		}
		return w.emit(n.next, item{v: jsonb.FromString(name)}, out)
	case kSize:
		return w.size(n, it, out)
	case kAdd, kSub, kMul, kDiv, kMod:
		return w.arithmetic(n, it, out)
	case kPlus, kMinus:
		return w.sign(n, it, out)
	}
	if n.kind.predicate() {
		t, err := w.predicate(n, it)
		if err != nil {
			return failed, err
		}
		v := jsonb.FromNull()
		if t != unknown {
			v = jsonb.FromBool(t == yes)
		}
		return w.emit(n.next, item{v: v}, out)
	}
	// What is left applies to the elements of an array in lax mode.
	if unwrap && it.is(jsonb.Array) {
		return w.elements(n, it, out, false)
	}
	switch n.kind {
	case kKey:
		if !it.is(jsonb.Object) {
			return w.structural(sqlerr.JSONMemberNotFound, "jsonpath member accessor can only be applied to an object")
		}
		v, ok := jsonb.Field(it.v, n.text)
		if !ok {
			return w.structural(sqlerr.JSONMemberNotFound, "JSON object does not contain key \"%s\"", n.text)
		}
		return w.emit(n.next, item{v: v}, out)
	case kAnyKey:
		if !it.is(jsonb.Object) {
			return w.structural(sqlerr.JSONObjectNotFound, "jsonpath wildcard member accessor can only be applied to an object")
		}
		return w.descend(n.next, it, out, 1, 1, 1, false, w.lax)
	case kFilter:
		saved := w.current
		w.current = it
		t, err := w.predicate(n.left, it)
		w.current = saved
		if err != nil || t != yes {
			return nothing, err
		}
		return w.emit(n.next, it, out)
	case kDatetime:
		return w.datetime(n, it, out)
	case kKeyValue:
		return w.keyValue(n, it, out)
	}
	return w.number(n, it, out)
}

func (n *node) literal() []byte {
	switch n.kind {
	case kBool:
		return jsonb.FromBool(n.yes)
	case kNumber:
		return jsonb.FromNumeric(n.num)
	case kString:
		return jsonb.FromString(n.text)
	}
	return jsonb.FromNull()
}

func (w *walk) lookup(name string) (item, error) {
	v, ok := jsonb.Field(w.Vars, name)
	if !ok {
		return item{}, sqlerr.New(sqlerr.UndefinedObject, "could not find jsonpath variable \"%s\"", name)
	}
	return item{v: v}, nil
}

func (w *walk) variable(n *node, out *[]item) (status, error) {
	it, err := w.lookup(n.text)
	if err != nil {
		return failed, err
	}
	saved := w.base
	w.base = base{w.Vars, 1}
	st, err := w.emit(n.next, it, out)
	w.base = saved
	return st, err
}

// elements hands the elements of an array to n; unwrapNext says that arrays among them stand for their elements.
func (w *walk) elements(n *node, it item, out *[]item, unwrapNext bool) (status, error) {
	return w.descend(n, it, out, 1, 1, 1, false, unwrapNext)
}

// descend hands on what lies between two levels below it. Level "last" alone asks for the leaves.
func (w *walk) descend(n *node, it item, out *[]item, level, first, last uint32, ignore, unwrapNext bool) (status, error) {
	res := nothing
	if level > last {
		return res, nil
	}
	leaves := first == anyLevel && last == anyLevel
	var stop bool
	var err error
	visit := func(v []byte) {
		child := item{v: v}
		if level >= first || leaves && !child.isContainer() {
			if n == nil {
				if out == nil {
					res, stop = found, true
					return
				}
				*out = append(*out, child)
				res = found
			} else {
				saved := w.ignore
				w.ignore = w.ignore || ignore
				res, err = w.step(n, child, out, unwrapNext)
				w.ignore = saved
			}
			if stop = err != nil || res == failed || res == found && out == nil; stop {
				return
			}
		}
		if level < last && child.isContainer() {
			res, err = w.descend(n, child, out, level+1, first, last, ignore, unwrapNext)
			stop = err != nil || res == failed || res == found && out == nil
		}
	}
	for _, v := range jsonb.Elements(it.v) {
		if visit(v); stop {
			return res, err
		}
	}
	for _, v := range jsonb.Each(it.v) {
		if visit(v); stop {
			return res, err
		}
	}
	return res, nil
}

func (w *walk) levels(n *node, it item, out *[]item) (status, error) {
	res := nothing
	if n.first == 0 {
		saved := w.ignore
		w.ignore = true
		var err error
		res, err = w.emit(n.next, it, out)
		w.ignore = saved
		if err != nil || res == found && out == nil {
			return res, err
		}
	}
	if !it.isContainer() {
		return res, nil
	}
	return w.descend(n.next, it, out, 1, n.first, n.last, true, w.lax)
}

func (w *walk) index(n *node, it item, out *[]item) (status, error) {
	isArray := it.is(jsonb.Array)
	if !isArray && !w.lax {
		return w.structural(sqlerr.JSONArrayNotFound, "jsonpath array accessor can only be applied to an array")
	}
	size := 1
	if isArray {
		size = jsonb.Len(it.v)
	}
	saved := w.arraySize
	w.arraySize = size
	defer func() { w.arraySize = saved }()
	res := nothing
	for _, s := range n.subs {
		from, st, err := w.position(s.from, it)
		if err != nil || st == failed {
			return failed, err
		}
		to := from
		if s.to != nil {
			if to, st, err = w.position(s.to, it); err != nil || st == failed {
				return failed, err
			}
		}
		if !w.ignore && (from < 0 || from > to || to >= size) {
			return w.fail(sqlerr.New(sqlerr.InvalidSQLJSONSubscript, "jsonpath array subscript is out of bounds"))
		}
		res = nothing
		for i := max(from, 0); i <= min(to, size-1); i++ {
			child := it
			if isArray {
				v, _ := jsonb.Index(it.v, i)
				child = item{v: v}
			}
			if res, err = w.emit(n.next, child, out); err != nil || res == failed || res == found && out == nil {
				return res, err
			}
		}
	}
	return res, nil
}

// position evaluates a subscript.
func (w *walk) position(n *node, it item) (int, status, error) {
	var seq []item
	st, err := w.item(n, it, &seq)
	if err != nil || st == failed {
		return 0, failed, err
	}
	if len(seq) != 1 || !seq[0].is(jsonb.Number) {
		st, err = w.fail(sqlerr.New(sqlerr.InvalidSQLJSONSubscript, "jsonpath array subscript is not a single numeric value"))
		return 0, st, err
	}
	d, _ := jsonb.NumberValue(seq[0].v)
	v, ok := d.Trunc(0).ToInt64()
	if !ok || v != int64(int32(v)) {
		st, err = w.fail(sqlerr.New(sqlerr.InvalidSQLJSONSubscript, "jsonpath array subscript is out of integer range"))
		return 0, st, err
	}
	return int(v), found, nil
}

func (w *walk) size(n *node, it item, out *[]item) (status, error) {
	size := 1
	switch {
	case it.is(jsonb.Array):
		size = jsonb.Len(it.v)
	case !w.lax:
		return w.structural(sqlerr.JSONArrayNotFound, "jsonpath item method .size() can only be applied to an array")
	}
	return w.emit(n.next, item{v: jsonb.FromNumeric(numeric.FromInt64(int64(size)))}, out)
}

// unwrapped evaluates n and takes the arrays of its result apart.
func (w *walk) unwrapped(n *node, it item, unwrap bool, out *[]item) (status, error) {
	if !unwrap || !w.lax {
		return w.item(n, it, out)
	}
	var seq []item
	if st, err := w.item(n, it, &seq); err != nil || st == failed {
		return failed, err
	}
	for _, x := range seq {
		if x.is(jsonb.Array) {
			if _, err := w.elements(nil, x, out, false); err != nil {
				return failed, err
			}
		} else if out != nil {
			*out = append(*out, x)
		}
	}
	return found, nil
}

// quietly is unwrapped inside a predicate, where errors make the answer unknown.
func (w *walk) quietly(n *node, it item, unwrap bool, out *[]item) (status, error) {
	saved := w.throw
	w.throw = false
	st, err := w.unwrapped(n, it, unwrap, out)
	w.throw = saved
	return st, err
}

func (w *walk) predicate(n *node, it item) (truth, error) {
	switch n.kind {
	case kAnd, kOr:
		short := truthOf(n.kind == kOr)
		a, err := w.predicate(n.left, it)
		if err != nil || a == short {
			return a, err
		}
		b, err := w.predicate(n.right, it)
		if b == 1-short {
			b = a
		}
		return b, err
	case kNot:
		a, err := w.predicate(n.left, it)
		if a != unknown {
			a = 1 - a
		}
		return a, err
	case kIsUnknown:
		a, err := w.predicate(n.left, it)
		return truthOf(a == unknown), err
	case kExists:
		return w.exists(n, it)
	case kStartsWith:
		return w.eachPair(n, it, false, func(x, y item) (truth, error) {
			s, ok := jsonb.StringValue(x.v)
			prefix, ok2 := jsonb.StringValue(y.v)
			if !ok || !ok2 || x.at != nil || y.at != nil {
				return unknown, nil
			}
			return truthOf(bytes.HasPrefix(s, prefix)), nil
		})
	case kLikeRegex:
		return w.eachPair(n, it, false, func(x, _ item) (truth, error) {
			s, ok := jsonb.StringValue(x.v)
			if !ok || x.at != nil {
				return unknown, nil
			}
			match, err := n.re.Match(s)
			return truthOf(match), err
		})
	}
	return w.eachPair(n, it, true, func(x, y item) (truth, error) { return w.compare(n.kind, x, y) })
}

func (w *walk) exists(n *node, it item) (truth, error) {
	var out *[]item
	if !w.lax {
		out = new([]item)
	}
	st, err := w.quietly(n.left, it, false, out)
	switch {
	case err != nil || st == failed:
		return unknown, err
	case out != nil:
		return truthOf(len(*out) > 0), nil
	}
	return truthOf(st == found), nil
}

// eachPair asks test about every pair of operands. Lax mode is content with one pair, strict mode looks for errors in all.
func (w *walk) eachPair(n *node, it item, unwrapRight bool, test func(x, y item) (truth, error)) (truth, error) {
	var left []item
	if st, err := w.quietly(n.left, it, true, &left); err != nil || st == failed {
		return unknown, err
	}
	right := []item{{}}
	if n.right != nil {
		right = nil
		if st, err := w.quietly(n.right, it, unwrapRight, &right); err != nil || st == failed {
			return unknown, err
		}
	}
	var some, doubt bool
	for _, x := range left {
		for _, y := range right {
			t, err := test(x, y)
			switch {
			case err != nil:
				return unknown, err
			case t == unknown && !w.lax:
				return unknown, nil
			case t == unknown:
				doubt = true
			case t == yes && w.lax:
				return yes, nil
			case t == yes:
				some = true
			}
		}
	}
	switch {
	case some:
		return yes, nil
	case doubt:
		return unknown, nil
	}
	return no, nil
}

func (w *walk) compare(op kind, x, y item) (truth, error) {
	var cmp int
	switch {
	case (x.at == nil) != (y.at == nil), x.at == nil && x.kind() != y.kind():
		if x.is(jsonb.Null) || y.is(jsonb.Null) { // null differs from everything else
			return truthOf(op == kNotEqual), nil
		}
		return unknown, nil
	case x.at != nil:
		c, ok, err := datetime.CompareItems(*x.at, *y.at, w.Zone, w.Now)
		if err != nil || !ok {
			return unknown, err
		}
		cmp = c
	case x.isContainer():
		return unknown, nil
	case x.is(jsonb.String):
		cmp = bytes.Compare(x.v, y.v)
	default:
		cmp = jsonb.Compare(x.v, y.v)
	}
	switch op {
	case kEqual:
		return truthOf(cmp == 0), nil
	case kNotEqual:
		return truthOf(cmp != 0), nil
	case kLess:
		return truthOf(cmp < 0), nil
	case kGreater:
		return truthOf(cmp > 0), nil
	case kLessEqual:
		return truthOf(cmp <= 0), nil
	}
	return truthOf(cmp >= 0), nil
}

func (w *walk) arithmetic(n *node, it item, out *[]item) (status, error) {
	// Both sides are evaluated before either is judged.
	var left, right []item
	for _, side := range []struct {
		n   *node
		out *[]item
	}{{n.left, &left}, {n.right, &right}} {
		if st, err := w.unwrapped(side.n, it, true, side.out); err != nil || st == failed {
			return failed, err
		}
	}
	for k, seq := range [][]item{left, right} {
		if len(seq) != 1 || !seq[0].is(jsonb.Number) {
			return w.fail(sqlerr.New(sqlerr.SingletonJSONItemRequired, "%s operand of jsonpath operator %s is not a single numeric value",
				[]string{"left", "right"}[k], names[n.kind]))
		}
	}
	a, _ := jsonb.NumberValue(left[0].v)
	b, _ := jsonb.NumberValue(right[0].v)
	var r numeric.Dec
	var err error
	switch n.kind {
	case kAdd:
		r, err = a.Add(b)
	case kSub:
		r, err = a.Sub(b)
	case kMul:
		r, err = a.Mul(b)
	case kDiv:
		r, err = a.Div(b)
	default:
		r, err = a.Mod(b)
	}
	if err != nil {
		return w.fail(err)
	}
	return w.emit(n.next, item{v: jsonb.FromNumeric(r)}, out)
}

func (w *walk) sign(n *node, it item, out *[]item) (status, error) {
	var seq []item
	if st, err := w.unwrapped(n.left, it, true, &seq); err != nil || st == failed {
		return failed, err
	}
	res := nothing
	for _, x := range seq {
		d, ok := jsonb.NumberValue(x.v)
		switch {
		case ok && x.at == nil:
		case out == nil && n.next == nil:
			continue
		default:
			return w.fail(sqlerr.New(sqlerr.JSONNumberNotFound, "operand of unary jsonpath operator %s is not a numeric value", names[n.kind]))
		}
		if n.kind == kMinus {
			d = d.Neg()
		}
		st, err := w.emit(n.next, item{v: jsonb.FromNumeric(d)}, out)
		switch {
		case err != nil || st == failed:
			return failed, err
		case st == found && out == nil:
			return found, nil
		case st == found:
			res = found
		}
	}
	return res, nil
}

// number evaluates a method on a number.
func (w *walk) number(n *node, it item, out *[]item) (status, error) {
	if n.kind == kDouble {
		return w.double(n, it, out)
	}
	d, ok := jsonb.NumberValue(it.v)
	if !ok || it.at != nil {
		return w.fail(sqlerr.New(sqlerr.NonNumericJSONItem, "jsonpath item method .%s() can only be applied to a numeric value", names[n.kind]))
	}
	var err error
	switch n.kind {
	case kAbs:
		d = d.Abs()
	case kFloor:
		d, err = d.Floor()
	case kCeiling:
		d, err = d.Ceil()
	}
	if err != nil {
		return w.fail(err)
	}
	return w.emit(n.next, item{v: jsonb.FromNumeric(d)}, out)
}

// parseDouble reads a number as the type double precision does; infinities and NaN are not numbers here.
func parseDouble(s string) (float64, bool) {
	s = strings.Trim(s, " \t\n\v\f\r")
	f, err := strconv.ParseFloat(s, 64)
	vanished := f == 0 && strings.ContainsAny(strings.ToLower(s)[:max(0, indexOr(strings.ToLower(s), 'e'))], "123456789")
	return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) && !vanished && !strings.Contains(s, "_")
}

func indexOr(s string, c byte) int {
	if i := strings.IndexByte(s, c); i >= 0 {
		return i
	}
	return len(s)
}

func (w *walk) double(n *node, it item, out *[]item) (status, error) {
	switch {
	case it.is(jsonb.Number):
		d, _ := jsonb.NumberValue(it.v)
		if _, ok := parseDouble(d.String()); !ok {
			return w.fail(sqlerr.New(sqlerr.NonNumericJSONItem, "numeric argument of jsonpath item method .double() is out of range for type double precision"))
		}
	case it.is(jsonb.String):
		s, _ := jsonb.StringValue(it.v)
		f, ok := parseDouble(string(s))
		if !ok {
			return w.fail(sqlerr.New(sqlerr.NonNumericJSONItem, "string argument of jsonpath item method .double() is not a valid representation of a double precision number"))
		}
		it = item{v: jsonb.FromNumeric(numeric.FromFloat64(f))}
	default:
		return w.fail(sqlerr.New(sqlerr.NonNumericJSONItem, "jsonpath item method .double() can only be applied to a string or numeric value"))
	}
	return w.emit(n.next, it, out)
}

// isoFormats are tried one after the other by .datetime() without a template.
var isoFormats = []string{
	"yyyy-mm-dd", "HH24:MI:SS.USTZH:TZM", "HH24:MI:SS.USTZH", "HH24:MI:SS.US", "HH24:MI:SSTZH:TZM", "HH24:MI:SSTZH", "HH24:MI:SS",
	"yyyy-mm-dd HH24:MI:SS.USTZH:TZM", "yyyy-mm-dd HH24:MI:SS.USTZH", "yyyy-mm-dd HH24:MI:SS.US",
	"yyyy-mm-dd HH24:MI:SSTZH:TZM", "yyyy-mm-dd HH24:MI:SSTZH", "yyyy-mm-dd HH24:MI:SS",
	"yyyy-mm-dd\"T\"HH24:MI:SS.USTZH:TZM", "yyyy-mm-dd\"T\"HH24:MI:SS.USTZH", "yyyy-mm-dd\"T\"HH24:MI:SS.US",
	"yyyy-mm-dd\"T\"HH24:MI:SSTZH:TZM", "yyyy-mm-dd\"T\"HH24:MI:SSTZH", "yyyy-mm-dd\"T\"HH24:MI:SS",
}

func (w *walk) datetime(n *node, it item, out *[]item) (status, error) {
	s, ok := jsonb.StringValue(it.v)
	if !ok || it.at != nil {
		return w.fail(sqlerr.New(sqlerr.InvalidJSONDatetimeArgument, "jsonpath item method .datetime() can only be applied to a string"))
	}
	if n.left != nil {
		at, hard, err := datetime.ParseItem(string(s), n.left.text)
		switch {
		case hard:
			return failed, err
		case err != nil:
			return w.fail(err)
		}
		return w.emit(n.next, item{at: &at}, out)
	}
	for _, f := range isoFormats {
		if at, _, err := datetime.ParseItem(string(s), f); err == nil {
			return w.emit(n.next, item{at: &at}, out)
		}
	}
	return w.fail(sqlerr.New(sqlerr.InvalidJSONDatetimeArgument, "datetime format is not recognized: \"%s\"", s).
		WithHint("Use a datetime template argument to specify the input data format."))
}

func (w *walk) keyValue(n *node, it item, out *[]item) (status, error) {
	if !it.is(jsonb.Object) {
		return w.fail(sqlerr.New(sqlerr.JSONObjectNotFound, "jsonpath item method .keyvalue() can only be applied to an object"))
	}
	res := nothing
	id := w.base.id*10000000000 + w.base.offsetOf(it.v)
	for k, v := range jsonb.Each(it.v) {
		var b jsonb.Builder
		b.BeginObject()
		b.Key("key")
		b.StringBytes(k)
		b.Key("value")
		b.Value(v)
		b.Key("id")
		b.Int(id)
		b.EndObject()
		obj := item{v: b.Bytes()}
		saved := w.base
		w.base = base{obj.v, w.lastID}
		w.lastID++
		var err error
		res, err = w.emit(n.next, obj, out)
		w.base = saved
		if err != nil || res == failed || res == found && out == nil {
			return res, err
		}
	}
	return res, nil
}
