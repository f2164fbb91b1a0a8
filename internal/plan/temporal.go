package plan

import (
	"strings"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// TemporalFilter keeps the rows for which all of Bounds hold at the time of the epoch, so that rows enter and leave as time
// passes.
type TemporalFilter struct {
	Input  Node
	Bounds []TimeBound
	Grows  bool  // rows only enter
	Dist   []int // columns by whose hash the input is spread; nil: by no rule, or one actor
	State  int
}

// Columns implements Node.
func (n *TemporalFilter) Columns() []Column { return n.Input.Columns() }

// Children implements Node.
func (n *TemporalFilter) Children() []Node { return []Node{n.Input} }

// WithChildren implements Node.
func (n *TemporalFilter) WithChildren(c []Node) Node { m := *n; m.Input = c[0]; return &m }

// TimeBound is one condition of a TemporalFilter: Value Op Clock. Both are of one type: timestamptz, timestamp or date.
type TimeBound struct {
	Value expr.Expr // over the input's columns; does not read the clock
	Op    string    // <, <=, > or >=
	Clock expr.Expr // of the current time; has no columns
	Drift Drift     // of Clock
}

// Drift bounds how far a function of the current time is from it, in microseconds: Lo ≤ f(t) − t ≤ Hi, where a date stands
// for its midnight and a local time for the same time in UTC. Falls: it may turn the order of two times round.
type Drift struct {
	Lo, Hi int64
	Falls  bool
}

// Exact says that the function moves every time by the same length.
func (d Drift) Exact() bool { return d.Lo == d.Hi }

const (
	hour = 3600 * 1_000_000
	day  = 24 * hour
	// zoneDrift is how far local time may be from UTC; a zone's offset can change by a day, too.
	zoneDrift = 15 * hour
)

// ClockDrift reads a function of the current time. utc: the view's time zone is UTC, where days are equally long. ok is false
// for a function that is not understood.
func ClockDrift(e expr.Expr, utc bool) (d Drift, ok bool) {
	switch x := e.(type) {
	case *expr.Cast:
		d, ok = ClockDrift(x.Arg, utc)
		from, to := x.Arg.Type().Kind, x.Ty.Kind
		if !ok || !isTimeLine(from) || !isTimeLine(to) {
			return d, false
		}
		if (from == sqltypes.KTimestamptz) != (to == sqltypes.KTimestamptz) && !utc {
			d = d.add(-zoneDrift, zoneDrift, true)
		}
		switch {
		case to == sqltypes.KDate && from != sqltypes.KDate:
			d = d.add(-day, 0, false)
		case x.Ty.Typmod() >= 0 && x.Ty.Typmod() < 6: // rounded to at most a second
			d = d.add(-1_000_000, 1_000_000, false)
		}
		return d, true
	case *expr.Call:
		return callDrift(x, utc)
	}
	return d, false
}

func (d Drift) add(lo, hi int64, falls bool) Drift {
	return Drift{d.Lo + lo, d.Hi + hi, d.Falls || falls}
}

func callDrift(x *expr.Call, utc bool) (d Drift, ok bool) {
	name, _, _ := strings.Cut(x.Sig, "(")
	switch len(x.Args) {
	case 0:
		switch name {
		case "now", "transaction_timestamp", "current_timestamp", "statement_timestamp":
			return Drift{}, true
		case "localtimestamp":
			return ClockDrift(&expr.Cast{Arg: &expr.Call{Sig: "now()", Ty: sqltypes.Timestamptz}, Ty: sqltypes.Timestamp}, utc)
		case "current_date":
			return ClockDrift(&expr.Cast{Arg: &expr.Call{Sig: "now()", Ty: sqltypes.Timestamptz}, Ty: sqltypes.Date}, utc)
		}
	case 2:
		switch name {
		case "+", "-":
			if k, isConst := x.Args[1].(*expr.Const); isConst {
				return moved(x.Args[0], k, name == "-", utc)
			}
			if k, isConst := x.Args[0].(*expr.Const); isConst && name == "+" {
				return moved(x.Args[1], k, false, utc)
			}
		case "timezone":
			if isConst(x.Args[0]) {
				d, ok = ClockDrift(x.Args[1], utc)
				return d.add(-zoneDrift, zoneDrift, true), ok
			}
		case "date_trunc":
			return truncated(x.Args[0], x.Args[1], utc)
		}
	}
	return d, false
}

// moved is the drift of a time plus or minus a constant.
func moved(e expr.Expr, k *expr.Const, minus, utc bool) (Drift, bool) {
	d, ok := ClockDrift(e, utc)
	if !ok {
		return d, false
	}
	sign := int64(1)
	if minus {
		sign = -1
	}
	switch v := k.Val.(type) {
	case int64: // date plus days
		if e.Type().Kind != sqltypes.KDate || v > 10_000_000 || v < -10_000_000 {
			return d, false
		}
		return d.add(sign*v*day, sign*v*day, false), true
	case datetime.Interval:
		if v.Months > 120_000 || v.Months < -120_000 || v.Days > 3_000_000 || v.Days < -3_000_000 || v.Micros > 1<<58 || v.Micros < -1<<58 {
			return d, false
		}
		fixed := sign * (int64(v.Days)*day + v.Micros)
		d = d.add(fixed, fixed, false)
		if v.Days != 0 && e.Type().Kind == sqltypes.KTimestamptz && !utc {
			d = d.add(-26*hour, 26*hour, true)
		}
		if m := sign * int64(v.Months); m != 0 {
			d = d.add(min(m*28, m*31)*day-4*day, max(m*28, m*31)*day+4*day, true)
			if !utc {
				d = d.add(-26*hour, 26*hour, true)
			}
		}
		return d, true
	}
	return d, false
}

// truncDays is how far date_trunc may go back, by unit.
var truncDays = map[string]int64{"microseconds": 0, "milliseconds": 1, "second": 1, "minute": 1, "hour": 1, "day": 1, "week": 7,
	"month": 31, "quarter": 92, "year": 366}

func truncated(unit, e expr.Expr, utc bool) (Drift, bool) {
	d, ok := ClockDrift(e, utc)
	k, isConst := unit.(*expr.Const)
	if !ok || !isConst {
		return d, false
	}
	name, _ := k.Val.(string)
	if b, isBytes := k.Val.([]byte); isBytes {
		name = string(b)
	}
	n, known := truncDays[strings.TrimSuffix(strings.ToLower(name), "s")]
	if !known {
		if n, known = truncDays[strings.ToLower(name)]; !known {
			return d, false
		}
	}
	d = d.add(-n*day, 0, false)
	if e.Type().Kind == sqltypes.KTimestamptz && !utc {
		d = d.add(-26*hour, 26*hour, true)
	}
	return d, true
}
