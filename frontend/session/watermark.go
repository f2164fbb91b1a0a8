package session

import (
	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// idleOption says after how long a silent split no longer holds a source's watermark back.
const idleOption = "watermark_idle_timeout"

// watermarks reads the WATERMARK FOR clauses of a relation whose columns and connector are known.
func (s *Session) watermarks(r *catalog.Relation, list []parser.Watermark) error {
	idle := int64(0)
	if r.Connector != nil {
		if v, ok := r.Connector.Options[idleOption]; ok {
			d, err := datetime.ParseInterval(v, &datetime.Settings{})
			if err != nil || d.Months != 0 || d.Days < 0 || d.Micros <= 0 {
				return sqlerr.New(sqlerr.InvalidParameterValue, "invalid value for option %q: %q", idleOption, v).
					WithHint("It is a length of time such as '30 s'.")
			}
			idle = int64(d.Days)*86_400_000_000 + d.Micros
		}
	}
	for _, w := range list {
		if err := s.watermark(r, w); err != nil {
			return err
		}
	}
	for i := range r.WatermarkFor {
		r.WatermarkFor[i].IdleMicros = idle
	}
	return nil
}

func (s *Session) watermark(r *catalog.Relation, w parser.Watermark) error {
	if r.Kind == catalog.Table && !r.AppendOnly {
		return sqlerr.New(sqlerr.FeatureNotSupported, "a watermark needs rows that are never changed or deleted").At(w.Pos).
			WithHint("Declare the table APPEND ONLY.")
	}
	if w.TTL {
		return sqlerr.New(sqlerr.FeatureNotSupported, "WATERMARK … WITH TTL is not supported").At(w.Pos).
			WithHint("A view with a condition such as time > now() - interval '1 day' forgets rows.")
	}
	col, ok := r.Column(w.Column.Name)
	if !ok {
		return sqlerr.New(sqlerr.UndefinedColumn, "column %q does not exist", w.Column.Name).At(w.Column.Pos)
	}
	for _, o := range r.WatermarkFor {
		if o.Col == col {
			return sqlerr.New(sqlerr.DuplicateObject, "column %q has more than one watermark", w.Column.Name).At(w.Pos)
		}
	}
	c := r.Columns[col]
	if !hasTimeLine(c.Type) {
		return sqlerr.New(sqlerr.DatatypeMismatch, "a watermark needs a column of type timestamp, timestamp with time zone or date, not %s", c.Type.Base()).At(w.Column.Pos)
	}
	text := parser.Format(w.Expr)
	bound, err := bind.Default(s.env(nil), text, c.Type, c.Name, relationColumns(r))
	if err != nil {
		e := *sqlerr.From(err)
		e.Offset, e.Position = 0, 0 // they count in the expression's own text
		return (&e).At(w.Expr.At())
	}
	if expr.VolatilityOf(bound) == expr.Volatile || readsClock(bound) {
		return sqlerr.New(sqlerr.FeatureNotSupported, "a watermark must follow from the row alone").At(w.Expr.At()).
			WithHint("Which rows are late must come out the same when they are read again.")
	}
	r.WatermarkFor = append(r.WatermarkFor, catalog.Watermark{Col: col, Expr: text})
	return nil
}

func hasTimeLine(t sqltypes.Type) bool {
	return t.Kind == sqltypes.KTimestamp || t.Kind == sqltypes.KTimestamptz || t.Kind == sqltypes.KDate
}

// readsClock says that an expression calls a function without arguments that is not immutable, as now() is.
func readsClock(e expr.Expr) bool {
	found := false
	expr.Walk(e, func(x expr.Expr) bool {
		if c, ok := x.(*expr.Call); ok && len(c.Args) == 0 {
			f, ok := expr.BySig(c.Sig)
			found = found || ok && f.Volatility != expr.Immutable
		}
		return !found
	})
	return found
}

func relationColumns(r *catalog.Relation) []plan.Column {
	out := make([]plan.Column, len(r.Columns))
	for i, c := range r.Columns {
		out[i] = plan.Column{Name: c.Name, Type: c.Type}
	}
	return out
}
