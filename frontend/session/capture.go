package session

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/planner/stream"
)

// createCapture stores a source whose connector captures tables, and starts its job.
func (s *Session) createCapture(ctx context.Context, snap *catalog.Snapshot, r *catalog.Relation, pos int) error {
	if len(r.Columns) > 0 {
		return sqlerr.New(sqlerr.InvalidTableDefinition, "source %q takes no columns: it captures whole tables", r.Name).At(pos).
			WithHint("CREATE TABLE name (*) FROM %s TABLE '…' makes a table that follows one of them.", r.Name)
	}
	r.Parallelism = 1
	return s.create(ctx, snap, r, func(id catalog.ID) (int, error) {
		r.ID = id
		n, f := stream.CaptureJob(r)
		return setJob(r, n, f)
	})
}

// isCaptured recognises CREATE TABLE … FROM source TABLE '…', and CREATE TABLE … WITH a connector that captures tables.
func (s *Session) isCaptured(x *parser.CreateTableStmt) (bool, error) {
	if !x.FromSource.IsZero() {
		return true, nil
	}
	if len(x.Options) == 0 {
		return false, nil
	}
	for _, o := range x.Options {
		if name, ok := o.Text(); ok && o.Name == "connector" {
			return s.m.Engine.IsCapture(strings.ToLower(name)), nil
		}
	}
	return false, nil
}

// snapshotOptions are the options of CREATE TABLE … FROM. Only the first changes anything: how a snapshot is cut into pieces is not
// for the user to tune.
var snapshotOptions = []string{"snapshot", "snapshot.interval", "snapshot.batch_size", "backfill.parallelism"}

// createCaptured runs CREATE TABLE of a table that follows one in another database.
func (s *Session) createCaptured(ctx context.Context, snap *catalog.Snapshot, r *catalog.Relation, x *parser.CreateTableStmt) error {
	if len(x.Includes) > 0 || len(x.Watermarks) > 0 || x.AppendOnly || x.OnConflict != "" {
		return sqlerr.New(sqlerr.FeatureNotSupported, "a table that follows another database has that table's columns and key, and nothing else").At(x.Pos)
	}
	r.Captured = &catalog.Captured{Upstream: x.ExternalTable}
	source, err := s.captureSource(ctx, snap, r, x)
	if err != nil {
		return err
	}
	undo := func() {}
	if r.Captured.Own {
		snap = s.snapshot()
		undo = func() { s.forget(context.WithoutCancel(ctx), source) }
	}
	r.Captured.Source, r.DependsOn = source.ID, append(r.DependsOn, source.ID)
	if err := s.capturedColumns(ctx, r, source, x); err != nil {
		undo()
		return err
	}
	if err := s.create(ctx, snap, r, func(id catalog.ID) (int, error) { r.ID = id; return s.setTableJob(r) }); err != nil {
		undo()
		return err
	}
	return nil
}

// captureSource finds the source that a captured table names, or makes one from its own options.
func (s *Session) captureSource(ctx context.Context, snap *catalog.Snapshot, r *catalog.Relation, x *parser.CreateTableStmt) (*catalog.Relation, error) {
	if !x.FromSource.IsZero() {
		for _, o := range x.Options {
			if !slices.Contains(snapshotOptions, o.Name) {
				return nil, sqlerr.New(sqlerr.InvalidParameterValue, "unknown option %q of a table from a source", o.Name).At(o.Pos)
			}
			if v, _ := o.Text(); o.Name == "snapshot" {
				r.Captured.NoSnapshot = strings.EqualFold(v, "false")
			}
		}
		source, err := s.find(snap, x.FromSource)
		if err == nil && !source.Captures() {
			err = sqlerr.New(sqlerr.WrongObjectType, "%s %q does not capture tables", source.Kind, source.Name).At(x.FromSource.Pos)
		}
		return source, err
	}
	if s.staging() {
		return nil, notInBlock("CREATE TABLE with a connector that captures tables")
	}
	text, options := map[string]string{}, []parser.Option(nil)
	for _, o := range x.Options {
		v, _ := o.Text()
		if text[o.Name] = v; o.Name != "table.name" && !slices.Contains(snapshotOptions, o.Name) {
			options = append(options, o)
		}
	}
	name := text["table.name"]
	if name == "" {
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "connector %q needs the option \"table.name\"", text["connector"]).At(x.Pos)
	}
	if !strings.Contains(name, ".") {
		schema := text["schema.name"]
		if schema == "" && strings.HasPrefix(text["connector"], "mysql") {
			schema = text["database.name"]
		}
		if schema == "" {
			schema = "public"
		}
		name = schema + "." + name
	}
	r.Captured.Upstream, r.Captured.Own = name, true
	r.Captured.NoSnapshot = strings.EqualFold(text["snapshot"], "false")
	source, err := s.newRelation(snap, parser.Name{Loc: x.Name.Loc, Parts: []string{r.Schema, r.Name + "_source"}}, catalog.Source, x.Text)
	if err != nil {
		return nil, err
	}
	if _, err := s.exists(snap, source, false); err != nil {
		return nil, err
	}
	if _, err := s.describeRecords(ctx, source, options, x.Format, x.Pos); err != nil {
		return nil, err
	}
	if err := s.connect(ctx, source, x.Pos); err != nil {
		return nil, err
	}
	return source, s.createCapture(ctx, snap, source, x.Pos)
}

// capturedColumns gives a captured table its columns and key: those upstream, or of them those that were declared.
func (s *Session) capturedColumns(ctx context.Context, r, source *catalog.Relation, x *parser.CreateTableStmt) error {
	parts := &tableParts{}
	if err := s.tableElements(r, &x.TableElements, nil, parts); err != nil {
		return err
	}
	declared := slices.Clone(r.Columns)
	var key []string
	for _, k := range r.PrimaryKey {
		key = append(key, r.Columns[k].Name)
	}
	for _, c := range declared {
		if c.Default != "" || c.Generated != "" || c.Identity != "" || len(r.Constraints) > 0 {
			return sqlerr.New(sqlerr.FeatureNotSupported, "a table that follows another database has no defaults, generated columns or constraints of its own").At(x.Pos)
		}
	}
	facts, err := s.m.Engine.DescribeTable(ctx, source, r.Captured.Upstream, key)
	if err != nil {
		return err
	}
	r.Columns, r.NextColumnID, r.PrimaryKey, r.PrimaryKeyName = nil, 0, nil, ""
	r.Captured.Chosen = !x.Star && len(declared) > 0
	for _, c := range facts.Columns {
		if x.Star || len(declared) == 0 {
			if err := addColumn(r, catalog.Column{Name: c.Name, Type: c.Type}, x.Pos); err != nil {
				return err
			}
		}
	}
	for _, d := range declared {
		k := slices.IndexFunc(facts.Columns, func(c catalog.Column) bool { return c.Name == d.Name })
		if k < 0 {
			return sqlerr.New(sqlerr.UndefinedColumn, "table %q has no column %q", r.Captured.Upstream, d.Name).At(x.Pos)
		}
		if t := facts.Columns[k].Type; !keeps(t, d.Type, k, facts.Accepts) {
			return sqlerr.New(sqlerr.DatatypeMismatch, "column %q is of type %s in table %q, and %s was declared", d.Name, t, r.Captured.Upstream, d.Type).At(x.Pos).
				WithHint("Declare it as %s or text, or write (*) to take all columns as they are.", t)
		}
		if _, there := r.Column(d.Name); there {
			continue // (*, name type)
		}
		if err := addColumn(r, catalog.Column{Name: d.Name, Type: d.Type}, x.Pos); err != nil {
			return err
		}
	}
	var cols []int
	for _, k := range facts.Key {
		i, ok := r.Column(facts.Columns[k].Name)
		if !ok {
			return sqlerr.New(sqlerr.InvalidTableDefinition, "table %q lacks the column %q, which is part of the key upstream", r.Name, facts.Columns[k].Name).At(x.Pos)
		}
		cols = append(cols, i)
	}
	if len(cols) == 0 {
		return nil
	}
	return setPrimaryKey(r, "", cols, x.Pos)
}

// sameBase compares types without their modifiers.
func sameBase(a, b sqltypes.Type) bool { return a.Kind == b.Kind && a.OID() == b.OID() }

// notCaptured refuses to change what is decided in another database.
func notCaptured(r *catalog.Relation, pos int) error {
	if r.Captured == nil {
		return nil
	}
	return sqlerr.New(sqlerr.FeatureNotSupported, "the columns of table %q come from another database and follow those there", r.Name).At(pos)
}

// refreshSchema runs ALTER TABLE … REFRESH SCHEMA: a captured table takes over the columns that its upstream has now, and is read anew. It is the way out for one
// that has stopped. ALTER SOURCE … REFRESH SCHEMA does so with all tables of a source and lets it go on with the upstream's log as it is now: the way
// out when the log from before is lost.
func (s *Session) refreshSchema(ctx context.Context, snap *catalog.Snapshot, r *catalog.Relation, pos int) (*catalog.Relation, error) {
	if s.staging() {
		return nil, notInBlock("REFRESH SCHEMA")
	}
	source, tables := r, []*catalog.Relation{r}
	if r.Captured != nil {
		source = snap.Relations[r.Captured.Source]
	} else {
		tables = nil
		for _, t := range snap.Sorted() {
			if t.Captured != nil && t.Captured.Source == r.ID {
				tables = append(tables, t)
			}
		}
	}
	var ids []catalog.ID
	var changes []*refreshed
	for _, t := range tables {
		c, err := s.refreshed(ctx, snap, source, t, pos)
		if err != nil {
			return nil, err
		}
		ids, changes = append(ids, t.ID), append(changes, c)
	}
	err := s.m.Engine.RefreshCaptured(ctx, source, ids, source == r, func(ctx context.Context) error {
		for i, c := range changes {
			if err := s.m.follow(ctx, ids[i], c.add, c.drop, nil, c.retype, true); err != nil {
				return err
			}
		}
		return nil
	})
	return s.snapshot().Relations[r.ID], err
}

// refreshed is how the columns of a captured table differ from those upstream.
type refreshed struct {
	add, retype []catalog.Column
	drop        []string
}

// refreshed compares a captured table with its upstream, and refuses what cannot be followed.
func (s *Session) refreshed(ctx context.Context, snap *catalog.Snapshot, source, r *catalog.Relation, pos int) (*refreshed, error) {
	here := r.UpstreamColumns()
	var key []string
	for _, k := range r.PrimaryKey {
		key = append(key, here[k].Name)
	}
	facts, err := s.m.Engine.DescribeTable(ctx, source, r.Captured.Upstream, key)
	if err != nil {
		return nil, err
	}
	c := &refreshed{}
	for k, up := range facts.Columns {
		i := slices.IndexFunc(here, func(h catalog.Column) bool { return h.Name == up.Name })
		switch {
		case i >= 0 && !keeps(up.Type, here[i].Type, k, facts.Accepts):
			if slices.Contains(r.PrimaryKey, i) {
				return nil, sqlerr.New(sqlerr.InvalidTableDefinition, "column %q is %s upstream and %s in the key of table %q", up.Name, up.Type, here[i].Type, r.Name).At(pos).
					WithHint("Drop the table and create it again.")
			}
			c.retype = append(c.retype, catalog.Column{Name: up.Name, Type: up.Type})
		case i < 0 && !r.Captured.Chosen:
			c.add = append(c.add, catalog.Column{Name: up.Name, Type: up.Type})
		}
	}
	for _, h := range here {
		if !slices.ContainsFunc(facts.Columns, func(up catalog.Column) bool { return up.Name == h.Name }) {
			c.drop = append(c.drop, h.Name)
		}
	}
	if users := snap.Dependants(r.ID); len(c.retype) > 0 && len(users) > 0 {
		return nil, sqlerr.New(sqlerr.DependentObjectsStillExist, "cannot change column %q of table %q to type %s, which it has upstream, because other objects depend on the table",
			c.retype[0].Name, r.Name, c.retype[0].Type).At(pos).WithDetail("%s depends on table %s", users[0].Name, r.Name).
			WithHint("Drop what depends on the table, refresh it, and create the others again.")
	}
	return c, nil
}

// keeps reports whether a column of type here holds the values of the upstream's k-th column, which is of type there.
func keeps(there, here sqltypes.Type, k int, accepts func(col int, t sqltypes.Type) bool) bool {
	return sameBase(there, here) || here.Kind == sqltypes.KText || here.Kind == sqltypes.KVarchar || accepts != nil && accepts(k, here)
}

// internalUser runs what the server does of itself.
const internalUser = "root"

// Follow lets a captured table take over a change of its upstream's columns. What it cannot take over, because views
// depend on the column, is written down in the catalog (millrace_catalog.captured_tables). A change that was carried out before changes nothing.
func (m *Manager) Follow(ctx context.Context, table *catalog.Relation, add []catalog.Column, drop []string, rename map[string]string, retype []catalog.Column) error {
	return m.follow(ctx, table.ID, add, drop, rename, retype, false)
}

// follow is Follow; afresh forgets what was written down before.
func (m *Manager) follow(ctx context.Context, table catalog.ID, add []catalog.Column, drop []string, rename map[string]string, retype []catalog.Column, afresh bool) error {
	ps, err := m.Open(ctx, pgwire.Startup{User: internalUser, Database: m.Catalog.Snapshot().Database})
	if err != nil {
		return err
	}
	s := ps.(*Session)
	defer s.Close()
	for old, name := range rename {
		if err := s.followTable(ctx, table, func(f *following) { f.rename(old, name) }); err != nil {
			return err
		}
	}
	return s.followTable(ctx, table, func(f *following) {
		if afresh && len(f.r.Captured.Notes) > 0 {
			f.r.Captured.Notes, f.changed = nil, true
		}
		for _, n := range drop {
			f.drop(n)
		}
		for _, c := range retype {
			f.retype(c)
		}
		for _, c := range add {
			f.add(c)
		}
	})
}

// following is a captured table on its way to another shape.
type following struct {
	s        *Session
	r        *catalog.Relation
	free     bool // nothing depends on the table
	reshaped bool
	changed  bool
	notes    []string
}

func (s *Session) followTable(ctx context.Context, id catalog.ID, change func(f *following)) error {
	snap := s.snapshot()
	old := snap.Relations[id]
	if old == nil {
		return nil
	}
	f := &following{s: s, r: nextVersion(old), free: len(snap.Dependants(id)) == 0}
	captured := *old.Captured
	captured.Renamed = map[int32]string{}
	for k, v := range old.Captured.Renamed {
		captured.Renamed[k] = v
	}
	f.r.Captured = &captured
	change(f)
	for _, n := range f.notes {
		s.m.Logger.Warn("captured table", "table", old.Name, "note", n)
		if !slices.Contains(captured.Notes, n) {
			captured.Notes = append(slices.Clone(captured.Notes), n)
			f.changed = true
		}
	}
	switch {
	case f.reshaped:
		dependOnTypes(snap, f.r)
		if _, err := s.setTableJob(f.r); err != nil {
			return err
		}
		return s.replaceJob(ctx, snap, f.r)
	case f.changed:
		f.r.History, f.r.SchemaVersion = old.History, old.SchemaVersion
		return s.m.Catalog.Apply(ctx, snap, catalog.Change{Put: []*catalog.Relation{f.r}})
	}
	return nil
}

// find returns the place of a column by its upstream name.
func (f *following) find(name string) (int, bool) {
	k := slices.IndexFunc(f.r.UpstreamColumns(), func(c catalog.Column) bool { return c.Name == name })
	return k, k >= 0
}

func (f *following) rename(old, name string) {
	k, ok := f.find(old)
	if !ok {
		return
	}
	c := &f.r.Columns[k]
	_, taken := f.r.Column(name)
	f.changed = true
	if f.free && !taken {
		c.Name = name
		delete(f.r.Captured.Renamed, c.ID)
		return
	}
	f.r.Captured.Renamed[c.ID] = name
	f.notes = append(f.notes, fmt.Sprintf("column %q was renamed to %q upstream and keeps its name here, because views depend on the table", c.Name, name))
}

func (f *following) drop(name string) {
	k, ok := f.find(name)
	if !ok {
		return
	}
	if !f.free || slices.Contains(f.r.PrimaryKey, k) {
		f.notes = append(f.notes, fmt.Sprintf("column %q was dropped upstream and stays here, because views or the key depend on it: it is NULL in rows that change from then on", f.r.Columns[k].Name))
		return
	}
	f.remove(k)
}

// remove takes out a column, and renumbers the key.
func (f *following) remove(k int) {
	f.r.Columns = slices.Delete(f.r.Columns, k, k+1)
	f.r.PrimaryKey = slices.Clone(f.r.PrimaryKey)
	for i, p := range f.r.PrimaryKey {
		if p > k {
			f.r.PrimaryKey[i] = p - 1
		}
	}
	f.reshaped = true
}

func (f *following) add(c catalog.Column) {
	if _, there := f.find(c.Name); there {
		return
	}
	name := c.Name
	for n := 2; ; n++ {
		if _, taken := f.r.Column(name); !taken {
			break
		}
		name = fmt.Sprintf("%s_%d", c.Name, n)
	}
	if err := addColumn(f.r, catalog.Column{Name: name, Type: c.Type}, -1); err != nil {
		f.notes = append(f.notes, fmt.Sprintf("column %q was added upstream and is left out here: %v", c.Name, err))
		return
	}
	if name != c.Name {
		f.r.Captured.Renamed[f.r.NextColumnID] = c.Name
	}
	f.reshaped = true
}

func (f *following) retype(c catalog.Column) {
	k, ok := f.find(c.Name)
	if !ok || f.r.Columns[k].Type.String() == c.Type.String() {
		return
	}
	if !f.free || slices.Contains(f.r.PrimaryKey, k) {
		f.notes = append(f.notes, fmt.Sprintf("column %q became %s upstream and stays %s here, because views or the key depend on it", c.Name, c.Type, f.r.Columns[k].Type))
		return
	}
	// Rows stored before have no value for it until the table has been read anew.
	f.r.NextColumnID++
	f.r.Columns[k].ID, f.r.Columns[k].Type = f.r.NextColumnID, c.Type
	f.reshaped = true
}
