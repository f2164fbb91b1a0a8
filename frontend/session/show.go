package session

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// text makes text columns of the given names.
func textColumns(names ...string) []pgwire.Column {
	out := make([]pgwire.Column, len(names))
	for i, n := range names {
		out[i] = pgwire.Column{Name: n, Type: sqltypes.Text}
	}
	return out
}

var describeColumns = textColumns("Name", "Type", "Is Hidden", "Description")

// showColumns describes the result of a SHOW.
func showColumns(x *parser.ShowStmt) []pgwire.Column {
	switch x.Kind {
	case parser.ShowSetting:
		if x.Name == "all" {
			return textColumns("name", "setting", "description")
		}
		if p := findParam(x.Name); p != nil {
			return textColumns(p.name)
		}
		return textColumns(x.Name)
	case parser.ShowColumns:
		return describeColumns
	case parser.ShowCreate:
		return textColumns("Name", "Create Sql")
	case parser.ShowIndexes:
		return textColumns("Name", "On", "Key", "Include", "Distributed By")
	}
	switch x.Object {
	case "JOBS":
		return []pgwire.Column{{Name: "Id", Type: sqltypes.Int8}, {Name: "Name", Type: sqltypes.Text}, {Name: "Kind", Type: sqltypes.Text},
			{Name: "State", Type: sqltypes.Text}, {Name: "Progress", Type: sqltypes.Text}, {Name: "Lag Epochs", Type: sqltypes.Int8},
			{Name: "State Rows", Type: sqltypes.Int8}, {Name: "State Bytes", Type: sqltypes.Int8}, {Name: "Row Errors", Type: sqltypes.Int8},
			{Name: "Error", Type: sqltypes.Text}}
	case "PROCESSLIST":
		return textColumns("Id", "User", "Host", "Database", "Time", "State", "Info")
	case "SOURCES":
		return textColumns("Name", "Connector")
	case "SINKS":
		return []pgwire.Column{{Name: "Name", Type: sqltypes.Text}, {Name: "Connector", Type: sqltypes.Text}, {Name: "State", Type: sqltypes.Text},
			{Name: "Rows Owed", Type: sqltypes.Int8}, {Name: "Lag", Type: sqltypes.IntervalT}, {Name: "Last Error", Type: sqltypes.Text}}
	case "INDEXES":
		return textColumns("Name", "On", "Key", "Include", "Distributed By")
	case "PARAMETERS":
		return textColumns("Name", "Value", "Description")
	case "FUNCTIONS":
		return textColumns("Name", "Arguments", "Return Type", "Language")
	case "CLUSTER":
		return textColumns("Id", "Roles", "Started", "Parallelism")
	case "CURSORS":
		return textColumns("Name", "Query")
	case "SUBSCRIPTION CURSORS":
		return append(textColumns("Session ID", "User", "Host", "Database", "Cursor Name", "Subscription Name"),
			pgwire.Column{Name: "Idle Duration Ms", Type: sqltypes.Int8})
	}
	return textColumns("Name")
}

// show runs SHOW.
func (s *Session) show(_ context.Context, x *parser.ShowStmt) (pgwire.Rows, error) {
	cols := showColumns(x)
	switch x.Kind {
	case parser.ShowSetting:
		return s.showSetting(x, cols)
	case parser.ShowColumns:
		return s.describe(&parser.DescribeStmt{Source: x.Source, Relation: x.Relation})
	case parser.ShowCreate:
		return s.showCreate(x, cols)
	case parser.ShowIndexes:
		r, err := s.find(s.snapshot(), x.Relation)
		if err != nil {
			return nil, err
		}
		var rows [][]sqltypes.Datum
		for _, i := range s.snapshot().Indexes(r.ID) {
			rows = append(rows, indexRow(s.snapshot(), i))
		}
		return table(cols, rows, "SHOW"), nil
	}
	rows, err := s.showObjects(x)
	if err != nil {
		return nil, err
	}
	name := 0
	switch x.Object {
	case "JOBS":
		name = 1
	case "SUBSCRIPTION CURSORS":
		name = 4
	}
	if x.Like != nil {
		kept := rows[:0]
		for _, r := range rows {
			if likeFold(*x.Like, fmt.Sprint(r[name])) {
				kept = append(kept, r)
			}
		}
		rows = kept
	}
	return table(cols, rows, "SHOW"), nil
}

func (s *Session) showSetting(x *parser.ShowStmt, cols []pgwire.Column) (pgwire.Rows, error) {
	if x.Name == "all" {
		var rows [][]sqltypes.Datum
		for _, n := range paramNames() {
			rows = append(rows, []sqltypes.Datum{n, s.settings.must(n), findParam(n).doc})
		}
		return table(cols, rows, "SHOW"), nil
	}
	v, ok := s.settings.get(x.Name)
	if !ok {
		return nil, sqlerr.New(sqlerr.UndefinedObject, "unrecognized configuration parameter %q", x.Name)
	}
	return table(cols, [][]sqltypes.Datum{{v}}, "SHOW"), nil
}

var showKinds = map[string]catalog.Kind{
	"TABLES": catalog.Table, "VIEWS": catalog.View, "MATERIALIZED VIEWS": catalog.MatView, "SOURCES": catalog.Source,
	"SINKS": catalog.Sink, "INDEXES": catalog.Index, "SUBSCRIPTIONS": catalog.Subscription, "CONNECTIONS": catalog.Connection,
}

func (s *Session) showObjects(x *parser.ShowStmt) ([][]sqltypes.Datum, error) {
	snap := s.snapshot()
	if kind, ok := showKinds[x.Object]; ok {
		return s.showRelations(snap, x, kind)
	}
	var rows [][]sqltypes.Datum
	switch x.Object {
	case "SCHEMAS":
		for n := range snap.Schemas {
			rows = append(rows, []sqltypes.Datum{n})
		}
		rows = append(rows, []sqltypes.Datum{"information_schema"}, []sqltypes.Datum{"millrace_catalog"}, []sqltypes.Datum{"pg_catalog"})
	case "DATABASES":
		rows = append(rows, []sqltypes.Datum{snap.Database})
	case "USERS":
		for n := range snap.Users {
			rows = append(rows, []sqltypes.Datum{n})
		}
	case "JOBS":
		return s.showJobs(snap), nil
	case "PARAMETERS":
		for _, n := range paramNames() {
			rows = append(rows, []sqltypes.Datum{n, s.settings.must(n), findParam(n).doc})
		}
	case "PROCESSLIST":
		for _, a := range s.m.Activity() {
			rows = append(rows, []sqltypes.Datum{strconv.Itoa(int(a.PID)), a.User, a.Remote, snap.Database,
				a.Change.Sub(a.QueryStart).String(), a.State, a.Query})
		}
		return rows, nil
	case "CLUSTER":
		return [][]sqltypes.Datum{{"1", "meta, compute, frontend", s.m.Started.UTC().Format("2006-01-02 15:04:05"), strconv.Itoa(s.m.Parallelism)}}, nil
	case "FUNCTIONS":
		for _, f := range snap.Functions {
			args := strings.TrimSuffix(strings.TrimPrefix(signatureOf(f), f.Name+"("), ")")
			result, err := s.m.System.Function(s, "pg_get_function_result", []sqltypes.Datum{int64(f.ID)})
			if err != nil {
				return nil, err
			}
			rows = append(rows, []sqltypes.Datum{f.Name, strings.ReplaceAll(args, ",", ", "), result, "sql"})
		}
	case "SECRETS":
		for _, x := range snap.Secrets {
			rows = append(rows, []sqltypes.Datum{x.Name})
		}
	case "INTERNAL TABLES":
	case "SUBSCRIPTION CURSORS":
		return s.m.subscriptionCursors(snap.Database), nil
	case "CURSORS":
		for n, c := range s.cursors {
			rows = append(rows, []sqltypes.Datum{n, c.query})
		}
	default:
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "SHOW %s is not supported", x.Object).At(x.Pos)
	}
	sortRows(rows)
	return rows, nil
}

func sortRows(rows [][]sqltypes.Datum) {
	sort.Slice(rows, func(i, j int) bool { return fmt.Sprint(rows[i][0]) < fmt.Sprint(rows[j][0]) })
}

func (s *Session) showRelations(snap *catalog.Snapshot, x *parser.ShowStmt, kind catalog.Kind) ([][]sqltypes.Datum, error) {
	schema := x.Schema
	if schema == "" {
		if p := s.SearchPath(); len(p) > 0 {
			schema = p[0]
		}
	} else if snap.Schemas[schema] == nil {
		return nil, sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", schema).At(x.Pos)
	}
	var sinks map[catalog.ID]engine.SinkStatus
	if kind == catalog.Sink {
		sinks = s.sinks()
	}
	var rows [][]sqltypes.Datum
	for _, r := range snap.Sorted() {
		if r.Kind != kind || r.Schema != schema {
			continue
		}
		row := []sqltypes.Datum{r.Name}
		switch kind {
		case catalog.Source:
			row = append(row, connectorName(r))
		case catalog.Sink:
			row = append(row, connectorName(r))
			if st, ok := sinks[r.ID]; ok {
				row = append(row, st.State, st.Owed, datetime.Interval{Micros: st.Lag.Truncate(time.Millisecond).Microseconds()}, st.LastError)
			} else {
				row = append(row, nil, nil, nil, nil)
			}
		case catalog.Index:
			row = indexRow(snap, r)
		}
		rows = append(rows, row)
	}
	sortRows(rows)
	return rows, nil
}

// sinks is how the deliveries of all sinks go.
func (s *Session) sinks() map[catalog.ID]engine.SinkStatus {
	out := map[catalog.ID]engine.SinkStatus{}
	for _, st := range s.m.Engine.Sinks() {
		out[st.ID] = st
	}
	return out
}

func connectorName(r *catalog.Relation) string {
	if r.Connector == nil {
		return "table"
	}
	return r.Connector.Name
}

func indexRow(snap *catalog.Snapshot, r *catalog.Relation) []sqltypes.Datum {
	on := ""
	if b := snap.Relations[r.IndexOn]; b != nil {
		on = b.Name
	}
	var keys, include []string
	inKey := map[int]bool{}
	for _, k := range r.IndexCols {
		word := r.Columns[k.Col].Name
		if k.Desc {
			word += " DESC"
		}
		keys = append(keys, word)
		inKey[k.Col] = true
	}
	for i, c := range r.Columns {
		if !inKey[i] {
			include = append(include, c.Name)
		}
	}
	return []sqltypes.Datum{r.Name, on, strings.Join(keys, ", "), strings.Join(include, ", "), r.Columns[r.IndexCols[0].Col].Name}
}

func (s *Session) showJobs(snap *catalog.Snapshot) [][]sqltypes.Datum {
	var rows [][]sqltypes.Datum
	jobs := s.m.Engine.Jobs()
	sort.Slice(jobs, func(i, j int) bool { return jobs[i].ID < jobs[j].ID })
	for _, j := range jobs {
		r := snap.Relations[j.ID]
		if r == nil {
			continue
		}
		rows = append(rows, []sqltypes.Datum{int64(j.ID), r.Name, string(r.Kind), JobState(r, j), jobProgress(j), int64(j.LagEpochs),
			int64(j.Rows), int64(j.Bytes), j.RowErrors, firstOf(j.Error, j.LastRow)})
	}
	return rows
}

// JobState is the state of a relation's job as it is shown: a job that runs is paused when its relation is.
func JobState(r *catalog.Relation, j engine.JobStatus) string {
	if n, limited := r.Rate(r.RateKind()); limited && n == 0 && j.State == "running" {
		return "paused"
	}
	return j.State
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// jobProgress tells how far a new job has read its snapshot.
func jobProgress(j engine.JobStatus) string {
	switch {
	case j.State != "creating":
		return "100%"
	case j.Total > 0:
		return fmt.Sprintf("%.1f%% (%d rows)", 100*float64(j.Read)/float64(j.Total), j.Read)
	}
	return fmt.Sprintf("%d rows", j.Read)
}

func (s *Session) describe(x *parser.DescribeStmt) (pgwire.Rows, error) {
	snap := s.snapshot()
	r, err := s.find(snap, x.Relation)
	if err != nil {
		return nil, err
	}
	var rows [][]sqltypes.Datum
	for _, c := range r.Columns {
		rows = append(rows, []sqltypes.Datum{c.Name, c.Type.StructString(), "false", nullable(c.Comment)})
	}
	if len(r.PrimaryKey) > 0 && r.Kind == catalog.Table {
		var pk []string
		for _, k := range r.PrimaryKey {
			pk = append(pk, r.Columns[k].Name)
		}
		rows = append(rows, []sqltypes.Datum{"primary key", strings.Join(pk, ", "), nil, nil})
	}
	for _, i := range snap.Indexes(r.ID) {
		rows = append(rows, []sqltypes.Datum{i.Name, "index(" + fmt.Sprint(indexRow(snap, i)[2]) + ")", nil, nil})
	}
	return table(describeColumns, rows, "DESCRIBE"), nil
}

func nullable(v string) sqltypes.Datum {
	if v == "" {
		return nil
	}
	return v
}
