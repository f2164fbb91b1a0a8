package session

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// drawn is what a session has drawn from sequences, for currval and lastval. A query may draw from several goroutines.
type drawn struct {
	sync.Mutex
	last map[catalog.ID]int64
	of   catalog.ID // the sequence drawn from last
}

// createSequence runs CREATE SEQUENCE.
func (s *Session) createSequence(ctx context.Context, x *parser.CreateSequenceStmt) error {
	snap := s.snapshot()
	r, err := s.newRelation(snap, x.Name, catalog.Sequence, x.Text)
	if err != nil {
		return err
	}
	if skip, err := s.exists(snap, r, x.IfNotExists); skip || err != nil {
		return err
	}
	if _, taken := snap.FindType(r.Schema, r.Name); taken {
		return typeTaken(r.Name)
	}
	r.Sequence = &catalog.SequenceDef{Type: sqltypes.Int8, Increment: 1, Cache: 1}
	if _, err := s.sequenceOptions(snap, r, x.Options, true); err != nil {
		return err
	}
	return s.create(ctx, snap, r, nil)
}

// typeBounds are the least and greatest values of an integer type.
func typeBounds(t sqltypes.Type) (lo, hi int64) {
	switch t.Kind {
	case sqltypes.KInt2:
		return math.MinInt16, math.MaxInt16
	case sqltypes.KInt4:
		return math.MinInt32, math.MaxInt32
	}
	return math.MinInt64, math.MaxInt64
}

// sequenceOptions applies options to r's definition and checks the whole. restart is the value that RESTART asks
// for, nil without it. isNew: bounds and start that no option gives follow from the type and direction.
func (s *Session) sequenceOptions(snap *catalog.Snapshot, r *catalog.Relation, opts []parser.SequenceOption, isNew bool) (restart *int64, err error) {
	d := r.Sequence
	given := map[string]bool{}
	num := func(o parser.SequenceOption) (n int64) {
		n, e := strconv.ParseInt(o.Number, 10, 64)
		if e != nil && err == nil {
			err = sqlerr.New(sqlerr.NumericValueOutOfRange, "value \"%s\" is out of range for type bigint", o.Number)
		}
		return n
	}
	old := d.Type
	var restartAt int64
	for _, o := range opts {
		name := o.Name
		if name == "NO MINVALUE" || name == "NO MAXVALUE" || name == "NO CYCLE" {
			name = name[3:]
		}
		if given[name] {
			return nil, sqlerr.New(sqlerr.SyntaxError, "conflicting or redundant options").At(o.Pos)
		}
		given[name] = true
		switch o.Name {
		case "AS":
			if d.Type, err = s.typeOf(o.Type); err != nil {
				return nil, err
			}
			if !d.Type.IsInteger() {
				return nil, sqlerr.New(sqlerr.InvalidParameterValue, "sequence type must be smallint, integer, or bigint")
			}
		case "INCREMENT":
			if d.Increment = num(o); d.Increment == 0 && err == nil {
				err = sqlerr.New(sqlerr.InvalidParameterValue, "INCREMENT must not be zero")
			}
		case "MINVALUE":
			d.Min = num(o)
		case "MAXVALUE":
			d.Max = num(o)
		case "NO MINVALUE", "NO MAXVALUE":
			given[name] = false
			given[o.Name] = true
		case "START":
			d.Start = num(o)
		case "RESTART":
			if restartAt = d.Start; o.Number != "" {
				restartAt = num(o)
			}
			restart = &restartAt
		case "CACHE":
			if d.Cache = num(o); d.Cache <= 0 && err == nil {
				err = sqlerr.New(sqlerr.InvalidParameterValue, "CACHE (%d) must be greater than zero", d.Cache)
			}
		case "CYCLE", "NO CYCLE":
			d.Cycle = o.Name == "CYCLE"
		case "OWNED BY":
			err = s.ownSequence(snap, r, o)
		}
		if err != nil {
			return nil, err
		}
	}
	lo, hi := typeBounds(d.Type)
	oldLo, oldHi := typeBounds(old)
	switch {
	case !given["MAXVALUE"] && (isNew || given["NO MAXVALUE"] || given["AS"] && d.Max == oldHi):
		if d.Max = hi; d.Increment < 0 {
			d.Max = -1
		}
	case d.Max < lo || d.Max > hi:
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "MAXVALUE (%d) is out of range for sequence data type %s", d.Max, d.Type)
	}
	switch {
	case !given["MINVALUE"] && (isNew || given["NO MINVALUE"] || given["AS"] && d.Min == oldLo):
		if d.Min = 1; d.Increment < 0 {
			d.Min = lo
		}
	case d.Min < lo || d.Min > hi:
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "MINVALUE (%d) is out of range for sequence data type %s", d.Min, d.Type)
	}
	if d.Min >= d.Max {
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "MINVALUE (%d) must be less than MAXVALUE (%d)", d.Min, d.Max)
	}
	if isNew && !given["START"] {
		if d.Start = d.Min; d.Increment < 0 {
			d.Start = d.Max
		}
	}
	within := func(what string, v int64) error {
		switch {
		case v < d.Min:
			return sqlerr.New(sqlerr.InvalidParameterValue, "%s value (%d) cannot be less than MINVALUE (%d)", what, v, d.Min)
		case v > d.Max:
			return sqlerr.New(sqlerr.InvalidParameterValue, "%s value (%d) cannot be greater than MAXVALUE (%d)", what, v, d.Max)
		}
		return nil
	}
	if err := within("START", d.Start); err != nil {
		return nil, err
	}
	if restart != nil {
		err = within("RESTART", *restart)
	}
	return restart, err
}

// ownSequence reads OWNED BY table.column or NONE.
func (s *Session) ownSequence(snap *catalog.Snapshot, r *catalog.Relation, o parser.SequenceOption) error {
	d := r.Sequence
	if d.Identity {
		return sqlerr.New(sqlerr.FeatureNotSupported, "cannot change ownership of identity sequence").
			WithDetail("Sequence %q is linked to table %q.", r.Name, snap.Relations[d.Table].Name)
	}
	parts := o.Object.Parts
	if len(parts) == 1 {
		if parts[0] != "none" {
			return sqlerr.New(sqlerr.SyntaxError, "invalid OWNED BY option").WithHint("Specify OWNED BY table.column or OWNED BY NONE.")
		}
		d.Table, d.Column = 0, 0
		return nil
	}
	t, err := s.find(snap, parser.Name{Loc: o.Object.Loc, Parts: parts[:len(parts)-1]})
	if err != nil {
		return err
	}
	if t.Kind != catalog.Table {
		return sqlerr.New(sqlerr.WrongObjectType, "sequence cannot be owned by relation %q", t.Name).
			WithDetail("This operation is not supported for %ss.", t.Kind)
	}
	if t.Schema != r.Schema {
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "sequence must be in same schema as table it is linked to")
	}
	k, ok := t.Column(parts[len(parts)-1])
	if !ok {
		return sqlerr.New(sqlerr.UndefinedColumn, "column %q of relation %q does not exist", parts[len(parts)-1], t.Name)
	}
	d.Table, d.Column = t.ID, t.Columns[k].ID
	return nil
}

// alterSequence runs ALTER SEQUENCE.
func (s *Session) alterSequence(ctx context.Context, x *parser.AlterStmt) error {
	snap := s.snapshot()
	old, err := s.findSequence(snap, x.Name)
	if err != nil {
		if x.IfExists && sqlerr.CodeOf(err) == sqlerr.UndefinedTable {
			s.notice("relation %q does not exist, skipping", x.Name.Last())
			return nil
		}
		return err
	}
	if err := s.mustOwnRelation(old, false); err != nil {
		return err
	}
	for _, a := range x.Actions {
		if a.Kind != parser.AlterSequence {
			if old, err = s.alterOne(ctx, x, old, a); err != nil {
				return err
			}
			continue
		}
		if err := s.changeSequence(ctx, s.snapshot(), old, a.Sequence); err != nil {
			return err
		}
	}
	return nil
}

// changeSequence gives a sequence other options.
func (s *Session) changeSequence(ctx context.Context, snap *catalog.Snapshot, old *catalog.Relation, opts []parser.SequenceOption) error {
	r, d := *old, *old.Sequence
	r.Sequence = &d
	restart, err := s.sequenceOptions(snap, &r, opts, false)
	if err != nil {
		return err
	}
	st, err := s.m.Catalog.Value(ctx, old)
	if err != nil {
		return err
	}
	if restart != nil {
		st = catalog.SequenceState{Last: *restart}
	}
	switch {
	case st.Last < d.Min:
		return sqlerr.New(sqlerr.InvalidParameterValue, "RESTART value (%d) cannot be less than MINVALUE (%d)", st.Last, d.Min)
	case st.Last > d.Max:
		return sqlerr.New(sqlerr.InvalidParameterValue, "RESTART value (%d) cannot be greater than MAXVALUE (%d)", st.Last, d.Max)
	}
	if err := s.apply(ctx, snap, catalog.Change{Put: []*catalog.Relation{&r}}); err != nil {
		return err
	}
	return s.m.Catalog.SetValue(ctx, &r, st) // what was reserved with the old step is void
}

func (s *Session) findSequence(snap *catalog.Snapshot, n parser.Name) (*catalog.Relation, error) {
	r, err := s.find(snap, n)
	if err == nil && r.Kind != catalog.Sequence {
		err = sqlerr.New(sqlerr.WrongObjectType, "%q is not a sequence", r.Name)
	}
	return r, err
}

// mayDraw refuses a function of a sequence that the user has no right to. What an identity column draws is its table's business.
func (s *Session) mayDraw(r *catalog.Relation, function string) error {
	rights := map[string]string{"nextval": "Uw", "currval": "rU", "setval": "w"}[function]
	if rights == "" || r.Sequence.Identity && function == "nextval" || s.snapshot().Rights(s.User(), r.Protected(), rights) != "" {
		return nil
	}
	return denied("permission denied for sequence %s", r.Name)
}

// sequenceFunction evaluates nextval, currval, setval, lastval and pg_sequence_last_value.
func (s *Session) sequenceFunction(name string, args []sqltypes.Datum) (sqltypes.Datum, error) {
	s.drawn.Lock()
	defer s.drawn.Unlock()
	snap := s.snapshot()
	if name == "lastval" {
		v, ok := s.drawn.last[s.drawn.of]
		if !ok || snap.Relations[s.drawn.of] == nil {
			return nil, sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "lastval is not yet defined in this session")
		}
		return v, nil
	}
	oid, _ := args[0].(int64)
	r := snap.Relations[catalog.ID(oid)]
	if r == nil || r.Kind != catalog.Sequence {
		return s.m.System.Function(s, name, args) // says what it is instead
	}
	if err := s.mayDraw(r, name); err != nil {
		return nil, err
	}
	ctx := s.stmt
	switch name {
	case "nextval":
		v, err := s.m.Catalog.NextValue(ctx, r)
		if err != nil {
			return nil, err
		}
		s.drawn.note(r.ID, v)
		s.drawn.of = r.ID
		return v, nil
	case "currval":
		v, ok := s.drawn.last[r.ID]
		if !ok {
			return nil, sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "currval of sequence %q is not yet defined in this session", r.Name)
		}
		return v, nil
	case "setval":
		v, _ := args[1].(int64)
		called := true
		if len(args) > 2 {
			called, _ = args[2].(bool)
		}
		if d := r.Sequence; v < d.Min || v > d.Max {
			return nil, sqlerr.New(sqlerr.NumericValueOutOfRange, "setval: value %d is out of bounds for sequence %q (%d..%d)", v, r.Name, d.Min, d.Max)
		}
		if err := s.m.Catalog.SetValue(ctx, r, catalog.SequenceState{Last: v, Called: called}); err != nil {
			return nil, err
		}
		if called {
			s.drawn.note(r.ID, v)
		}
		return v, nil
	}
	st, err := s.m.Catalog.Value(ctx, r)
	if err != nil || !st.Called {
		return nil, err
	}
	return st.Last, nil
}

func (d *drawn) note(id catalog.ID, v int64) {
	if d.last == nil {
		d.last = map[catalog.ID]int64{}
	}
	d.last[id] = v
}

// serialTypes are the pseudo-types that stand for an integer with a sequence.
var serialTypes = map[string]sqltypes.Type{
	"smallserial": sqltypes.Int2, "serial2": sqltypes.Int2, "serial": sqltypes.Int4, "serial4": sqltypes.Int4,
	"bigserial": sqltypes.Int8, "serial8": sqltypes.Int8,
}

// ownedSequence plans the sequence of a serial or identity column, which is made together with its table.
func (s *Session) ownedSequence(r *catalog.Relation, c *catalog.Column, opts []parser.SequenceOption, parts *tableParts) (*catalog.Relation, error) {
	snap := s.snapshot()
	q := &catalog.Relation{Schema: r.Schema, Kind: catalog.Sequence, Owner: s.User(),
		Sequence: &catalog.SequenceDef{Type: c.Type, Increment: 1, Cache: 1, Identity: c.Identity != ""}}
	q.Name = s.freeName(r, parts, c.Name, "seq")
	own := opts[:0:0]
	for _, o := range opts {
		if o.Name == "SEQUENCE NAME" {
			q.Name = o.Object.Last()
			if _, taken := snap.Find(q.Schema, q.Name); taken {
				return nil, sqlerr.New(sqlerr.DuplicateTable, "relation %q already exists", q.Name)
			}
			continue
		}
		own = append(own, o)
	}
	if _, err := s.sequenceOptions(snap, q, own, true); err != nil {
		return nil, err
	}
	return q, nil
}

// nextvalOf is the default that draws from a sequence.
func nextvalOf(q *catalog.Relation) string {
	text := parser.QuoteIdent(q.Schema) + "." + parser.QuoteIdent(q.Name)
	return "nextval(" + parser.QuoteString(text) + "::regclass)"
}

// freeName makes the name of something that belongs to a table, as PostgreSQL does: table_column_label, cut to what
// a name may have, with a number behind it if it is taken.
func freeName(snap *catalog.Snapshot, schema, table, column, label string) string {
	for n := 0; ; n++ {
		tail := "_" + label
		if n > 0 {
			tail += strconv.Itoa(n)
		}
		a, b := table, column
		for room := 63 - len(tail); len(a)+len(b)+1 > room; {
			if len(a) > len(b) {
				a = a[:len(a)-1]
			} else {
				b = b[:len(b)-1]
			}
		}
		name := a + tail
		if b != "" {
			name = a + "_" + b + tail
		}
		if _, taken := snap.Find(schema, name); !taken {
			return name
		}
	}
}

// dropSequence runs DROP SEQUENCE.
func (s *Session) dropSequence(ctx context.Context, x *parser.DropStmt) error {
	snap := s.snapshot()
	var c catalog.Change
	var blocked []string
	changed := map[catalog.ID]*catalog.Relation{}
	for _, n := range x.Names {
		q, err := s.findSequence(snap, n.Name)
		if err != nil {
			code := sqlerr.CodeOf(err)
			if x.IfExists && (code == sqlerr.UndefinedTable || code == sqlerr.InvalidSchemaName) {
				s.notice("sequence %q does not exist, skipping", n.Last())
				continue
			}
			if code == sqlerr.UndefinedTable {
				return sqlerr.New(code, "sequence %q does not exist", n.String())
			}
			return err
		}
		if q.Sequence.Identity {
			t := snap.Relations[q.Sequence.Table]
			return sqlerr.New(sqlerr.DependentObjectsStillExist, "cannot drop sequence %s because column %s of table %s requires it",
				q.Name, columnName(t, q.Sequence.Column), t.Name).WithHint("You can drop column %s of table %s instead.", columnName(t, q.Sequence.Column), t.Name)
		}
		if err := s.mustOwnRelation(q, true); err != nil {
			return err
		}
		c.Drop = append(c.Drop, q.ID)
		for _, t := range snap.Dependants(q.ID) {
			if changed[t.ID] == nil {
				next := *t
				next.Columns = slices.Clone(t.Columns)
				changed[t.ID] = &next
			}
			t := changed[t.ID]
			t.DependsOn = slices.DeleteFunc(slices.Clone(t.DependsOn), func(id catalog.ID) bool { return id == q.ID })
			for i := range t.Columns {
				if strings.Contains(t.Columns[i].Default, nextvalOf(q)) {
					what := fmt.Sprintf("default value for column %s of table %s", t.Columns[i].Name, t.Name)
					blocked = append(blocked, fmt.Sprintf("%s depends on sequence %s", what, q.Name))
					if x.Behavior == parser.DropCascade {
						s.notice("drop cascades to %s", what)
					}
					t.Columns[i].Default = ""
				}
			}
		}
	}
	if len(blocked) > 0 && x.Behavior != parser.DropCascade {
		return dependentsExist("sequence", x.Names, blocked)
	}
	for _, t := range changed {
		c.Put = append(c.Put, t)
	}
	return s.apply(ctx, snap, c)
}

func columnName(r *catalog.Relation, id int32) string {
	for _, c := range r.Columns {
		if c.ID == id {
			return c.Name
		}
	}
	return "?"
}

// renamed lists what has to be stored when a relation gets another name: of a sequence also the tables whose defaults
// draw from it.
func (s *Session) renamed(snap *catalog.Snapshot, old, r *catalog.Relation) []*catalog.Relation {
	out := []*catalog.Relation{r}
	if old.Kind == catalog.Table && old.Schema != r.Schema {
		for _, q := range append(snap.Owned(old.ID, 0), snap.Indexes(old.ID)...) {
			next := *q
			next.Schema = r.Schema
			out = append(out, &next)
			if q.Kind == catalog.Sequence {
				r.Columns = slices.Clone(r.Columns)
				redraw(r, nextvalOf(q), nextvalOf(&next))
			}
		}
	}
	if old.Kind != catalog.Sequence {
		return out
	}
	for _, t := range snap.Dependants(old.ID) {
		next := *t
		next.Columns = slices.Clone(t.Columns)
		redraw(&next, nextvalOf(old), nextvalOf(r))
		out = append(out, &next)
	}
	return out
}

// redraw replaces the text that draws from a sequence in the defaults of a table.
func redraw(t *catalog.Relation, from, to string) {
	for i := range t.Columns {
		t.Columns[i].Default = strings.ReplaceAll(t.Columns[i].Default, from, to)
	}
}

// sequenceColumns are what SELECT * FROM a sequence shows.
var sequenceColumns = []plan.Column{{Name: "last_value", Type: sqltypes.Int8}, {Name: "log_cnt", Type: sqltypes.Int8}, {Name: "is_called", Type: sqltypes.Bool}}

// systemColumns describes relations whose rows are computed: those of the system, and sequences.
func (s *Session) systemColumns(schema, name string) ([]plan.Column, bool) {
	if cols, ok := s.m.System.Columns(schema, name); ok {
		return cols, true
	}
	_, ok := s.sequenceNamed(schema, name)
	return sequenceColumns, ok
}

func (s *Session) sequenceNamed(schema, name string) (*catalog.Relation, bool) {
	r, ok := s.snapshot().Find(schema, name)
	return r, ok && r.Kind == catalog.Sequence
}

func (s *Session) sequenceRow(ctx context.Context, r *catalog.Relation) ([][]sqltypes.Datum, error) {
	st, err := s.m.Catalog.Value(ctx, r)
	return [][]sqltypes.Datum{{st.Last, int64(0), st.Called}}, err
}
