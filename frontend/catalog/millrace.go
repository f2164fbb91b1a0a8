package catalog

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/millrace/millrace/frontend/session"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/sqlio"
)

// millraceRelations are the relations of millrace_catalog: what PostgreSQL has no place for.
var millraceRelations = []shape{
	{"relations", 14001, 'v', `id! int8, schema! name, name! name, kind! text, owner! name, definition! text, connector text, creating! bool,
		append_only! bool, primary_key _text, depends_on! _int8, parallelism! int4, comment text`},
	{"columns", 14002, 'v', `relation! int8, number! int4, name! name, type! text, not_null! bool, default_value text, generated text,
		include text, comment text`},
	{"jobs", 14003, 'v', `id! int8, schema! name, name! name, kind! text, state! text, epoch! int8, lag_epochs! int8, state_rows! int8,
		state_bytes! int8, snapshot_rows_read! int8, snapshot_rows_total! int8, row_errors! int8, last_row_error text, late_rows! int8, error text`},
	{"sources", 14004, 'v', `id! int8, schema! name, name! name, connector! text, format text, encode text, options! _text, rate_limit int8`},
	{"sinks", 14005, 'v', `id! int8, schema! name, name! name, connector text, format text, encode text, options! _text, into_table int8, definition! text, rate_limit int8,
		state text, delivered_epoch int8, rows_delivered int8, rows_owed int8, lag interval, last_error text, failing_since timestamptz, attempts int8`},
	{"splits", 14006, 'v', `job! int8, split! text, position text, rows! int8, errors! int8, backlog! int8, retained_bytes int8, last_error text`},
	{"quarantine", 14007, 'v', `job! int8, time! timestamptz, split! text, position text, data! bytea, error! text`},
	{"watermarks", 14020, 'v', `job! int8, column_name! name, split text, watermark text, late_rows! int8, resting! bool`},
	{"secrets", 14021, 'v', `id! int8, schema! name, name! name, owner! name, version! int8, comment text`},
	{"captured_tables", 14022, 'v', `id! int8, schema! name, name! name, source! int8, upstream! text, phase! text, snapshot_rows! int8, error text, notes! _text`},
	{"connections", 14025, 'v', `id! int8, schema! name, name! name, owner! name, type! text, options! _text, acl _text, comment text`},
	{"subscriptions", 14023, 'v', `id! int8, schema! name, name! name, owner! name, relation! int8, retention! interval, retention_bytes! int8, epochs int8,
		rows int8, size_bytes int8, oldest_rw_timestamp int8, newest_rw_timestamp int8, complete_after int8, definition! text`},
	{"subscribers", 14024, 'v', `pid! int4, reads! _int8, query! bool, epoch int8, waiting_bytes! int8, error text`},
	{"settings", 14008, 'v', `name! text, setting! text, description! text, changeable! bool`},
}

func relationRows(w *writer, f *facts) {
	for _, r := range f.snap.Sorted() {
		on := make([]int64, len(r.DependsOn))
		for i, d := range r.DependsOn {
			on[i] = int64(d)
		}
		v := row{"id": r.ID, "schema": r.Schema, "name": r.Name, "kind": string(r.Kind), "owner": r.Owner, "definition": session.CreateSQL(f.snap, r),
			"connector": orNil(connectorOf(r)), "creating": r.Creating, "append_only": r.AppendOnly, "depends_on": on, "parallelism": r.Parallelism,
			"comment": orNil(r.Comment)}
		if len(r.PrimaryKey) > 0 {
			var names []string
			for _, k := range r.PrimaryKey {
				names = append(names, r.Columns[k].Name)
			}
			v["primary_key"] = names
		}
		w.add(v)
	}
}

func columnRows(w *writer, f *facts) {
	for _, r := range f.snap.Sorted() {
		for i, c := range r.Columns {
			w.add(row{"relation": r.ID, "number": attnum(r, i), "name": c.Name, "type": c.Type.String(), "not_null": c.NotNull,
				"default_value": orNil(c.Default), "generated": orNil(c.Generated), "include": orNil(c.Include), "comment": orNil(c.Comment)})
		}
	}
}

// sortedJobs lists the jobs whose relations the snapshot has, by id.
func (f *facts) sortedJobs() []engine.JobStatus {
	jobs := slices.DeleteFunc(f.jobs(), func(j engine.JobStatus) bool { return f.snap.Relations[j.ID] == nil })
	sort.Slice(jobs, func(i, j int) bool { return jobs[i].ID < jobs[j].ID })
	return jobs
}

func jobRows(w *writer, f *facts) {
	for _, j := range f.sortedJobs() {
		r := f.snap.Relations[j.ID]
		w.add(row{"id": j.ID, "schema": r.Schema, "name": r.Name, "kind": string(r.Kind), "state": session.JobState(r, j), "epoch": j.Epoch, "lag_epochs": j.LagEpochs,
			"state_rows": j.Rows, "state_bytes": j.Bytes, "snapshot_rows_read": j.Read, "snapshot_rows_total": j.Total, "row_errors": j.RowErrors,
			"last_row_error": orNil(j.LastRow), "late_rows": j.LateRows, "error": orNil(j.Error)})
	}
}

// capturedRows lists the tables that follow another database.
func capturedRows(w *writer, f *facts) {
	at := map[catalog.ID]engine.CapturedTable{}
	for _, j := range f.jobs() {
		for _, t := range j.Captured {
			at[t.Table] = t
		}
	}
	for _, r := range f.snap.Sorted() {
		if r.Captured == nil {
			continue
		}
		notes := r.Captured.Notes
		if notes == nil {
			notes = []string{}
		}
		w.add(row{"id": r.ID, "schema": r.Schema, "name": r.Name, "source": r.Captured.Source, "upstream": r.Captured.Upstream,
			"phase": at[r.ID].Phase, "snapshot_rows": at[r.ID].Rows, "error": orNil(at[r.ID].Error), "notes": notes})
	}
}

func sourceRows(w *writer, f *facts) {
	for _, r := range f.snap.Sorted() {
		if r.Connector != nil && (r.Kind == catalog.Source || r.Kind == catalog.Table) {
			w.add(connectorRow(r))
		}
	}
}

// sinkRows lists the sinks, with how their delivery goes; that is NULL while there is no job.
func sinkRows(w *writer, f *facts) {
	status := map[catalog.ID]engine.SinkStatus{}
	for _, st := range f.sinks() {
		status[st.ID] = st
	}
	for _, r := range f.snap.Sorted() {
		if r.Kind != catalog.Sink {
			continue
		}
		v := connectorRow(r)
		v["definition"] = session.CreateSQL(f.snap, r)
		if r.SinkInto != 0 {
			v["into_table"] = r.SinkInto
		}
		if st, ok := status[r.ID]; ok {
			v["state"], v["delivered_epoch"], v["rows_delivered"], v["rows_owed"] = st.State, st.Delivered, st.Rows, st.Owed
			v["lag"], v["attempts"], v["last_error"] = datetime.Interval{Micros: st.Lag.Microseconds()}, st.Attempts, orNil(st.LastError)
			if !st.Since.IsZero() {
				v["failing_since"] = st.Since
			}
		}
		w.add(v)
	}
}

// subscriptionRows lists the subscriptions, with what their logs hold; that is NULL while there is no job.
func subscriptionRows(w *writer, f *facts) {
	logs := map[catalog.ID]engine.SubscriptionStatus{}
	for _, st := range f.subscriptions() {
		logs[st.ID] = st
	}
	for _, r := range f.snap.Sorted() {
		if r.Kind != catalog.Subscription {
			continue
		}
		v := row{"id": r.ID, "schema": r.Schema, "name": r.Name, "owner": r.Owner, "relation": r.DependsOn[0],
			"retention": datetime.Interval{Days: int32(r.Retention / dayMillis), Micros: r.Retention % dayMillis * 1000}, "retention_bytes": r.RetentionBytes,
			"definition": session.CreateSQL(f.snap, r)}
		if st, ok := logs[r.ID]; ok {
			v["epochs"], v["rows"], v["size_bytes"], v["complete_after"] = st.Epochs, st.Rows, st.Bytes, st.Floor
			if st.Newest > 0 {
				v["oldest_rw_timestamp"], v["newest_rw_timestamp"] = st.Oldest, st.Newest
			}
		}
		w.add(v)
	}
}

// subscriberRows lists the clients that follow a relation or a query with SUBSCRIBE.
func subscriberRows(w *writer, f *facts) {
	feeds := f.feeds()
	slices.SortFunc(feeds, func(a, b engine.FeedStatus) int { return int(a.PID) - int(b.PID) })
	for _, st := range feeds {
		reads := make([]int64, len(st.Reads))
		for i, id := range st.Reads {
			reads[i] = int64(id)
		}
		v := row{"pid": int64(st.PID), "reads": reads, "query": st.Query, "waiting_bytes": st.Waiting, "error": orNil(st.Error)}
		if st.Epoch > 0 {
			v["epoch"] = st.Epoch
		}
		w.add(v)
	}
}

const dayMillis = 24 * 60 * 60 * 1000

// secretRows lists secrets without their values.
func secretRows(w *writer, f *facts) {
	for _, x := range f.snap.SortedSecrets() {
		w.add(row{"id": x.ID, "schema": x.Schema, "name": x.Name, "owner": x.Owner, "version": x.Version, "comment": orNil(x.Comment)})
	}
}

// connectionRows lists connections; what secrets give stays hidden.
func connectionRows(w *writer, f *facts) {
	for _, r := range f.snap.Sorted() {
		if r.Kind == catalog.Connection {
			w.add(row{"id": r.ID, "schema": r.Schema, "name": r.Name, "owner": r.Owner, "type": r.Connector.Name, "options": options(r),
				"acl": aclItems(r.Protected()), "comment": orNil(r.Comment)})
		}
	}
}

func connectorRow(r *catalog.Relation) row {
	v := row{"id": r.ID, "schema": r.Schema, "name": r.Name, "connector": orNil(connectorOf(r)), "options": options(r)}
	if n, limited := r.Rate(r.RateKind()); limited {
		v["rate_limit"] = n
	}
	if r.Connector != nil {
		v["format"], v["encode"] = orNil(r.Connector.Format), orNil(r.Connector.Encode)
	}
	return v
}

// splitRows lists the splits of each job's sources. Where nothing is known of each split, the counts of their reader stand in
// its first row.
func splitRows(w *writer, f *facts) {
	for _, j := range f.sortedJobs() {
		for _, s := range j.Sources {
			known := len(s.Splits) > 0
			first := row{"rows": s.Rows, "errors": s.Errors, "backlog": s.Backlog, "last_error": orNil(s.LastError)}
			for _, split := range slices.Sorted(maps.Keys(s.Offsets)) {
				v := row{"job": j.ID, "split": split, "position": printable(s.Offsets[split])}
				if text, ok := s.Positions[split]; ok {
					v["position"] = text
				}
				if one, ok := s.Splits[split]; ok {
					v["rows"], v["errors"], v["backlog"], v["last_error"] = one.Rows, one.Errors, one.Lag, orNil(one.LastError)
					if one.Retained >= 0 {
						v["retained_bytes"] = one.Retained
					}
					if s.Failure != "" {
						v["last_error"] = s.Failure
					}
				} else if first != nil && !known {
					maps.Copy(v, first)
				}
				first = nil
				w.add(v)
			}
			if first != nil {
				first["job"] = j.ID
				w.add(first)
			}
		}
	}
}

// watermarkRows lists the watermarks that each job makes, by split; the split of writes to a table has no name.
func watermarkRows(w *writer, f *facts) {
	for _, j := range f.sortedJobs() {
		for _, m := range j.Watermarks {
			v := row{"job": j.ID, "column_name": m.Column, "split": orNil(m.Split), "late_rows": m.Late, "resting": m.Resting}
			if m.Known {
				v["watermark"] = string(sqlio.AppendText(nil, delta.IntVec(m.Type, []int64{m.Mark}), 0, sqlio.DefaultSettings()))
			}
			w.add(v)
		}
	}
}

// printable shows an offset that is not text as hex.
func printable(offset string) string {
	for _, c := range offset {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			return fmt.Sprintf("\\x%x", offset)
		}
	}
	return offset
}

func quarantineRows(w *writer, f *facts) {
	for _, q := range f.quarantine() {
		text := ""
		if q.Record.Err != nil {
			text = q.Record.Err.Error()
		}
		w.add(row{"job": q.Job, "time": q.At, "split": q.Record.Split, "position": orNil(q.Record.Offset), "data": q.Record.Data, "error": text})
	}
}

// functionDef is CREATE FUNCTION as pg_get_functiondef prints it.
func functionDef(u *catalog.Function) string {
	p := userProc(u)
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE OR REPLACE FUNCTION %s(%s)\n RETURNS %s\n LANGUAGE sql\n", qualified(u.Schema, u.Name), p.arguments(false), p.resultText())
	var words []string
	switch u.Volatility {
	case "i":
		words = append(words, "IMMUTABLE")
	case "s":
		words = append(words, "STABLE")
	}
	if u.Strict {
		words = append(words, "STRICT")
	}
	if u.Definer {
		words = append(words, "SECURITY DEFINER")
	}
	if len(words) > 0 {
		b.WriteString(" " + strings.Join(words, " ") + "\n")
	}
	switch u.Form {
	case "return":
		b.WriteString("RETURN " + strings.TrimPrefix(u.Body, "SELECT ") + "\n")
	case "atomic":
		b.WriteString("BEGIN ATOMIC\n " + u.Body + ";\nEND\n")
	default:
		quote := "$function$"
		for strings.Contains(u.Body, quote) {
			quote = quote[:len(quote)-1] + "x$"
		}
		b.WriteString("AS " + quote + u.Body + quote + "\n")
	}
	return b.String()
}
