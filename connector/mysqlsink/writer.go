package mysqlsink

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/sqlsink"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
)

// marker is the table of markers, quoted, and markerDDL makes it.
var marker = quote(sqlsink.MarkerTable)

var markerDDL = "CREATE TABLE IF NOT EXISTS " + marker + ` (sink varchar(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, generation bigint NOT NULL,
	epoch bigint, committed_at timestamp NULL) ENGINE = InnoDB`

const (
	// maxStatement is where a statement ends that the server would allow to be longer. Unit: bytes.
	maxStatement = 1 << 20
	// maxKeys bounds the keys of a DELETE: servers give up on an index for many more.
	maxKeys = 500
	// lockWithin is how long a new writer waits for the name of an older one, whose connection it has ended.
	lockWithin = 10 // seconds
)

// Open implements connector.Sink. Taking the next generation waits for an older writer's commit, if one is under
// way, and makes all its later ones fail.
func (Sink) Open(ctx context.Context, spec *connector.SinkSpec) (_ connector.Writer, err error) {
	o, err := parse(spec)
	if err != nil {
		return nil, err
	}
	s, err := connect(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	t, err := describe(ctx, s, o)
	if err != nil {
		return nil, err
	}
	if err := t.check(spec, o); err != nil {
		return nil, err
	}
	w := &Writer{options: o, spec: spec, target: t, instance: sqlsink.Instance(spec), changes: sqlsink.NewChanges(spec, o), session: s, literals: newLiterals()}
	if err := s.QueryRowContext(ctx, "SELECT @@max_allowed_packet").Scan(&w.limit); err != nil {
		return nil, s.explain("read max_allowed_packet", err)
	}
	w.limit = min(w.limit/2, maxStatement)
	w.prepare()
	return w, w.fence(ctx)
}

// Writer implements connector.Writer.
type Writer struct {
	options  *sqlsink.Options
	spec     *connector.SinkSpec
	target   *target
	instance string
	changes  *sqlsink.Changes
	session  *session
	literals *literals
	limit    int // of a statement, in bytes

	insert, update string // INSERT INTO … VALUES; what follows the rows
	remove         string // DELETE FROM … WHERE
	keyNames       []string
	buf            []byte

	generation int64
	epoch      sql.NullInt64 // committed
	open       bool          // a transaction, of epoch now
	now        uint64
	busy       sync.Mutex // held while the connection is in use
	once       sync.Once
	stop       context.CancelFunc // of what runs; guarded by stopping
	stopping   sync.Mutex
}

// prepare writes the parts of the statements.
func (w *Writer) prepare() {
	names := make([]string, len(w.spec.Columns))
	var set []string
	for i, c := range w.spec.Columns {
		names[i] = quote(c.Name)
		if !slices.Contains(w.spec.Key, i) || !sqlio.KeyIsExact(c.Type) { // 1.0 may become 1.00, but 1 stays 1
			set = append(set, fmt.Sprintf("%s = VALUES(%s)", names[i], names[i]))
		}
	}
	w.insert = fmt.Sprintf("INSERT INTO %s (%s) VALUES ", w.target.name, strings.Join(names, ", "))
	if !w.options.Upsert {
		return
	}
	if len(set) == 0 {
		set = []string{names[0] + " = " + names[0]}
	}
	w.update = " ON DUPLICATE KEY UPDATE " + strings.Join(set, ", ")
	for _, k := range w.spec.Key {
		w.keyNames = append(w.keyNames, names[k])
	}
	w.remove = fmt.Sprintf("DELETE FROM %s WHERE ", w.target.name)
}

// fence makes the marker's table and row, ends the connection of the writer before, and takes the next generation.
func (w *Writer) fence(ctx context.Context) error {
	s := w.session
	if _, err := s.exec(ctx, markerDDL); err != nil && !isNumber(err, 1050) && !isNumber(err, 1142) {
		return s.explain("create the marker table", err)
	}
	sum := sha256.Sum256([]byte(w.instance))
	name := "millrace-" + hex.EncodeToString(sum[:16])
	var holder sql.NullInt64
	if err := s.QueryRowContext(ctx, "SELECT IS_USED_LOCK(?)", name).Scan(&holder); err != nil {
		return s.explain("look for an older writer", err)
	}
	if holder.Valid { // its locks would last as long as its connection seems alive to the server
		if _, err := s.exec(ctx, fmt.Sprintf("KILL %d", holder.Int64)); err != nil && !isNumber(err, 1094) {
			return s.explain("end the connection of an older writer", err)
		}
	}
	var got sql.NullInt64
	if err := s.QueryRowContext(ctx, "SELECT GET_LOCK(?, ?)", name, lockWithin).Scan(&got); err != nil {
		return s.explain("take the sink's name", err)
	}
	if got.Int64 != 1 {
		return sqlerr.New(sqlerr.LockNotAvailable, "another writer of sink %q is still connected to MySQL database %q at %s", w.spec.Name, w.options.Database, w.options.Address())
	}
	return w.takeGeneration(ctx)
}

func (w *Writer) takeGeneration(ctx context.Context) error {
	s := w.session
	if _, err := s.exec(ctx, "START TRANSACTION"); err != nil {
		return s.explain("begin a transaction", err)
	}
	_, err := s.exec(ctx, "INSERT INTO "+marker+" (sink, generation) VALUES (?, 1) ON DUPLICATE KEY UPDATE generation = generation + 1", w.instance)
	if err == nil {
		err = s.QueryRowContext(ctx, "SELECT generation, epoch FROM "+marker+" WHERE sink = ? FOR UPDATE", w.instance).Scan(&w.generation, &w.epoch)
	}
	if err == nil {
		_, err = s.exec(ctx, "COMMIT")
	}
	if err != nil {
		return s.explain("take over the marker", err)
	}
	return nil
}

// Committed implements connector.Writer.
func (w *Writer) Committed(context.Context) (epoch uint64, ok bool, err error) {
	return uint64(w.epoch.Int64), w.epoch.Valid, nil
}

// Write implements connector.Writer.
func (w *Writer) Write(ctx context.Context, epoch uint64, c *delta.Chunk) error {
	del, put, err := w.changes.Split(c)
	if err != nil || len(del)+len(put) == 0 {
		return err
	}
	ctx, done := w.use(ctx)
	defer done()
	if w.open && w.now != epoch {
		return fmt.Errorf("write epoch %d to table %s: epoch %d was not committed", epoch, w.target.name, w.now)
	}
	if !w.open {
		if _, err := w.session.exec(ctx, "START TRANSACTION"); err != nil {
			return w.session.explain("begin a transaction", err)
		}
		w.open, w.now = true, epoch
	}
	if err := w.delete(ctx, c, del); err != nil {
		return err
	}
	return w.put(ctx, c, put)
}

// use takes the connection; what runs under the context ends when the writer is closed.
func (w *Writer) use(ctx context.Context) (context.Context, func()) {
	w.busy.Lock()
	ctx, cancel := context.WithCancel(ctx)
	w.stopping.Lock()
	w.stop = cancel
	w.stopping.Unlock()
	return ctx, func() {
		cancel()
		w.busy.Unlock()
	}
}

func (w *Writer) put(ctx context.Context, c *delta.Chunk, rows []int32) error {
	for at := 0; at < len(rows); {
		w.buf = append(w.buf[:0], w.insert...)
		sep := byte('(')
		for first := at; at < len(rows) && (at == first || len(w.buf) < w.limit); at++ {
			for _, v := range c.Cols {
				w.buf = append(w.buf, sep)
				sep = ','
				var err error
				if w.buf, err = w.literals.append(w.buf, v, int(rows[at])); err != nil {
					return err
				}
			}
			w.buf = append(w.buf, "),"...)
			sep = '('
		}
		w.buf = append(w.buf[:len(w.buf)-1], w.update...)
		if _, err := w.session.exec(ctx, string(w.buf)); err != nil {
			return w.session.explain("write to table "+w.target.name, err)
		}
	}
	return nil
}

func (w *Writer) delete(ctx context.Context, c *delta.Chunk, rows []int32) error {
	for at := 0; at < len(rows); {
		w.buf = append(w.buf[:0], w.remove...)
		for first := at; at < len(rows) && at-first < maxKeys && (at == first || len(w.buf) < w.limit); at++ {
			if at > first {
				w.buf = append(w.buf, " OR "...)
			}
			for j, k := range w.spec.Key {
				if j > 0 {
					w.buf = append(w.buf, " AND "...)
				}
				w.buf = append(append(w.buf, w.keyNames[j]...), " = "...)
				var err error
				if w.buf, err = w.literals.append(w.buf, c.Cols[k], int(rows[at])); err != nil {
					return err
				}
			}
		}
		if _, err := w.session.exec(ctx, string(w.buf)); err != nil {
			return w.session.explain("delete from table "+w.target.name, err)
		}
	}
	return nil
}

// Commit implements connector.Writer.
func (w *Writer) Commit(ctx context.Context, epoch uint64) error {
	ctx, done := w.use(ctx)
	defer done()
	if !w.open {
		return nil
	}
	n, err := w.session.exec(ctx, "UPDATE "+marker+" SET epoch = ?, committed_at = now() WHERE sink = ? AND generation = ?", int64(epoch), w.instance, w.generation)
	if err != nil {
		return w.session.explain(fmt.Sprintf("mark epoch %d", epoch), err)
	}
	if n != 1 {
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "another writer has taken over sink %q: epoch %d is not committed by this one", w.spec.Name, epoch)
	}
	if _, err := w.session.exec(ctx, "COMMIT"); err != nil {
		return w.session.explain(fmt.Sprintf("commit epoch %d", epoch), err)
	}
	w.open, w.epoch = false, sql.NullInt64{Int64: int64(epoch), Valid: true}
	return nil
}

// Close implements connector.Writer. The server rolls an open transaction back.
func (w *Writer) Close() error {
	w.once.Do(func() {
		w.stopping.Lock()
		if w.stop != nil {
			w.stop()
		}
		w.stopping.Unlock()
		w.busy.Lock()
		defer w.busy.Unlock()
		w.session.close()
	})
	return nil
}
