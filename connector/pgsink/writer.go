package pgsink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/sqlsink"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
)

// Open implements connector.Sink. Taking the next generation waits for an older writer's commit, if one is under
// way, and makes all its later ones fail.
func (Sink) Open(ctx context.Context, spec *connector.SinkSpec) (_ connector.Writer, err error) {
	o, err := parse(spec)
	if err != nil {
		return nil, err
	}
	conn, err := connect(ctx, o, spec.Name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			closeConn(conn)
		}
	}()
	t, err := describe(ctx, conn, o)
	if err != nil {
		return nil, err
	}
	if err := t.checkColumns(spec); err != nil {
		return nil, err
	}
	w := &Writer{options: o, spec: spec, target: t, instance: sqlsink.Instance(spec), changes: sqlsink.NewChanges(spec, o),
		marker: quote(o.Schema, sqlsink.MarkerTable), conn: conn, settings: *sqlio.DefaultSettings()}
	w.prepare()
	return w, w.fence(ctx)
}

// Writer implements connector.Writer.
type Writer struct {
	options  *sqlsink.Options
	spec     *connector.SinkSpec
	target   *target
	instance string
	marker   string // the marker table, quoted
	changes  *sqlsink.Changes
	settings sqlio.Settings // under which the session reads our texts
	conn     *pgx.Conn

	generation int64
	epoch      *int64 // committed; nil: none
	open       bool   // a transaction, of epoch now
	now        uint64
	put, drop  statement
	busy       sync.Mutex // held while the session is in use
	once       sync.Once
}

// statement takes one text array per column.
type statement struct {
	name     string
	sql      string
	cols     []int
	args     [][]byte
	prepared bool
}

// prepare writes the statements.
func (w *Writer) prepare() {
	all := make([]int, len(w.spec.Columns))
	for i := range all {
		all[i] = i
	}
	w.put = statement{name: "put", cols: all, args: make([][]byte, len(all))}
	names, values := make([]string, len(all)), make([]string, len(all))
	for i, c := range w.spec.Columns {
		names[i], values[i] = quote(c.Name), w.cast(i, i)
	}
	w.put.sql = fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s", w.target.name, strings.Join(names, ", "), strings.Join(values, ", "), unnest(len(all)))
	if !w.options.Upsert {
		return
	}
	w.drop = statement{name: "drop", cols: w.spec.Key, args: make([][]byte, len(w.spec.Key))}
	var keys, set, same []string
	for j, k := range w.spec.Key {
		keys = append(keys, names[k])
		same = append(same, fmt.Sprintf("t.%s = %s", names[k], w.cast(k, j)))
	}
	for i, c := range w.spec.Columns {
		if slices.Contains(w.spec.Key, i) && sqlio.KeyIsExact(c.Type) {
			continue // 1.0 may become 1.00, but 1 stays 1
		}
		set = append(set, fmt.Sprintf("%s = excluded.%s", names[i], names[i]))
	}
	do := "NOTHING"
	if len(set) > 0 {
		do = "UPDATE SET " + strings.Join(set, ", ")
	}
	w.put.sql += fmt.Sprintf(" ON CONFLICT (%s) DO %s", strings.Join(keys, ", "), do)
	w.drop.sql = fmt.Sprintf("DELETE FROM %s t USING %s WHERE %s", w.target.name, unnest(len(w.spec.Key)), strings.Join(same, " AND "))
}

// cast is the n-th array's element as a value for our column i. The type has no modifier: what does not fit is an
// error of the assignment, and not cut off silently.
func (w *Writer) cast(i, n int) string {
	return fmt.Sprintf("u.c%d::%s", n, w.target.column(w.spec.Columns[i].Name).input)
}

// unnest is the relation of n parameters side by side.
func unnest(n int) string {
	args, names := make([]string, n), make([]string, n)
	for i := range n {
		args[i], names[i] = fmt.Sprintf("$%d::text[]", i+1), fmt.Sprintf("c%d", i)
	}
	return fmt.Sprintf("unnest(%s) AS u(%s)", strings.Join(args, ", "), strings.Join(names, ", "))
}

// fence makes the marker's table and row, takes the next generation, and ends the session of the writer before.
func (w *Writer) fence(ctx context.Context) error {
	var exists bool
	if err := w.conn.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", w.marker).Scan(&exists); err != nil {
		return w.explain("look for the marker table", err)
	}
	if !exists {
		// Two sinks may create it at once; the loser's error names the winner's type or table.
		if _, err := w.conn.Exec(ctx, markerDDL(w.marker)); err != nil && !isCode(err, sqlerr.UniqueViolation) && !isCode(err, sqlerr.DuplicateTable) {
			return w.explain("create the marker table", err)
		}
	}
	// The session of the writer before may hold locks for as long as its connection seems alive to the server.
	if _, err := w.conn.Exec(ctx, fmt.Sprintf(`SELECT pg_terminate_backend(a.pid) FROM %s m JOIN pg_stat_activity a ON a.pid = m.backend
		AND a.backend_start = m.started WHERE m.sink = $1 AND a.usename = current_user AND a.pid <> pg_backend_pid()`, w.marker), w.instance); err != nil {
		return w.explain("end the session of an older writer", err)
	}
	err := w.conn.QueryRow(ctx, fmt.Sprintf(`INSERT INTO %s AS m (sink, generation, backend, started)
		SELECT $1, 1, pid, backend_start FROM (SELECT pg_backend_pid()) p LEFT JOIN pg_stat_activity a ON a.pid = p.pg_backend_pid
		ON CONFLICT (sink) DO UPDATE SET generation = m.generation + 1, backend = excluded.backend, started = excluded.started
		RETURNING generation, epoch`, w.marker), w.instance).Scan(&w.generation, &w.epoch)
	if err != nil {
		return w.explain("take over the marker", err)
	}
	return nil
}

// Committed implements connector.Writer.
func (w *Writer) Committed(context.Context) (epoch uint64, ok bool, err error) {
	if w.epoch == nil {
		return 0, false, nil
	}
	return uint64(*w.epoch), true, nil
}

// Write implements connector.Writer.
func (w *Writer) Write(ctx context.Context, epoch uint64, c *delta.Chunk) error {
	del, put, err := w.changes.Split(c)
	if err != nil || len(del)+len(put) == 0 {
		return err
	}
	w.busy.Lock()
	defer w.busy.Unlock()
	if w.open && w.now != epoch {
		return fmt.Errorf("write epoch %d to table %s: epoch %d was not committed", epoch, w.target.name, w.now)
	}
	if !w.open {
		if _, err := w.conn.Exec(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"); err != nil {
			return w.explain("begin a transaction", err)
		}
		w.open, w.now = true, epoch
	}
	if err := w.run(ctx, &w.drop, c, del); err != nil {
		return w.explain(fmt.Sprintf("delete from table %s", w.target.name), err)
	}
	if err := w.run(ctx, &w.put, c, put); err != nil {
		return w.explain(fmt.Sprintf("write to table %s", w.target.name), err)
	}
	return nil
}

// run executes a statement for rows of c.
func (w *Writer) run(ctx context.Context, s *statement, c *delta.Chunk, rows []int32) error {
	if len(rows) > 0 && !s.prepared {
		if _, err := w.conn.Prepare(ctx, s.name, s.sql); err != nil {
			return err
		}
		s.prepared = true
	}
	for len(rows) > 0 {
		n := min(len(rows), delta.BatchRows)
		for j, col := range s.cols {
			s.args[j] = w.array(s.args[j][:0], c.Cols[col], rows[:n])
		}
		if r := w.conn.PgConn().ExecPrepared(ctx, s.name, s.args, nil, nil).Read(); r.Err != nil {
			return r.Err
		}
		rows = rows[n:]
	}
	return nil
}

// array appends the text form of an array of the rows' values as texts.
func (w *Writer) array(dst []byte, v *delta.Vec, rows []int32) []byte {
	sep := byte('{')
	for _, i := range rows {
		dst = append(dst, sep)
		sep = ','
		if v.IsNull(int(i)) {
			dst = append(dst, "NULL"...)
			continue
		}
		dst = append(dst, '"')
		start := len(dst)
		dst = escape(sqlio.AppendText(dst, v, int(i), &w.settings), start)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// escape puts backslashes before quotes and backslashes in b from start on.
func escape(b []byte, start int) []byte {
	n := 0
	for _, x := range b[start:] {
		if x == '"' || x == '\\' {
			n++
		}
	}
	if n == 0 {
		return b
	}
	from := len(b) - 1
	b = append(b, make([]byte, n)...)
	for to := len(b) - 1; n > 0; from-- {
		b[to] = b[from]
		to--
		if b[from] == '"' || b[from] == '\\' {
			b[to] = '\\'
			to--
			n--
		}
	}
	return b
}

// Commit implements connector.Writer.
func (w *Writer) Commit(ctx context.Context, epoch uint64) error {
	w.busy.Lock()
	defer w.busy.Unlock()
	if !w.open {
		return nil
	}
	tag, err := w.conn.Exec(ctx, fmt.Sprintf("UPDATE %s SET epoch = $3, committed_at = now() WHERE sink = $1 AND generation = $2", w.marker),
		w.instance, w.generation, int64(epoch))
	if err != nil {
		return w.explain(fmt.Sprintf("mark epoch %d", epoch), err)
	}
	if tag.RowsAffected() != 1 {
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "another writer has taken over sink %q: epoch %d is not committed by this one", w.spec.Name, epoch)
	}
	if _, err := w.conn.Exec(ctx, "COMMIT"); err != nil {
		return w.explain(fmt.Sprintf("commit epoch %d", epoch), err)
	}
	committed := int64(epoch)
	w.open, w.epoch = false, &committed
	return nil
}

// Close implements connector.Writer. The server rolls an open transaction back.
func (w *Writer) Close() error {
	w.once.Do(func() {
		if !w.busy.TryLock() { // unblocks whoever waits for the server
			_ = w.conn.PgConn().Conn().Close()
			w.busy.Lock()
		}
		defer w.busy.Unlock()
		closeConn(w.conn)
	})
	return nil
}

func isCode(err error, code sqlerr.Code) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == string(code)
}

// explain words an error: the server's own keeps its code, anything else means that the server is away.
func (w *Writer) explain(what string, err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return sqlerr.New(sqlerr.ConnectionFailure, "could not %s in PostgreSQL database %q at %s", what, w.options.Database, w.options.Address()).
			WithDetail("%v", err).WithCause(err)
	}
	out := sqlerr.New(sqlerr.Code(e.Code), "could not %s: %s", what, e.Message).WithCause(err)
	if e.Detail != "" {
		out = out.WithDetail("%s", e.Detail)
	}
	if e.Hint != "" {
		out = out.WithHint("%s", e.Hint)
	}
	return out
}
