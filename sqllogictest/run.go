package sqllogictest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Runner runs files. Its fields are set before the first file and not changed.
type Runner struct {
	// Connect opens a connection; Required. Each file gets new ones, closed at its end.
	Connect func(ctx context.Context) (*pgconn.PgConn, error)
	// Labels are what skipif and onlyif ask for.
	Labels []string
	// Restart carries out the restart directive: stop the server the hard way and start it again. The
	// file's connections have been closed. Default: the directive is an error.
	Restart func(ctx context.Context) error
	// Leftovers lists what a file has left behind; anything fails it. See Relations. Default: not checked.
	Leftovers func(ctx context.Context, c *pgconn.PgConn) ([]string, error)
	// Rewrite writes what the server answers into the file, in place of what differs.
	Rewrite bool
	// Observe, if set, is told what was asked on which connection, and all that was answered.
	Observe func(ctx context.Context, conn, sql string, results []*pgconn.Result, err *pgconn.PgError)
	// StrictTypes fails a query whose columns are not of the TYPES it gives.
	StrictTypes bool
	// MaxFailures is after how many failures a file is given up. Default: 10.
	MaxFailures int
	// Timeout bounds one attempt at a record. Default: 1 minute.
	Timeout time.Duration
}

// Failures are what was wrong with a file, in order.
type Failures []error

// Error implements error: one paragraph each.
func (f Failures) Error() string {
	parts := make([]string, len(f))
	for i, e := range f {
		parts[i] = e.Error()
	}
	return strings.Join(parts, "\n")
}

// run is one file being run.
type run struct {
	*Runner
	conns    map[string]*pgconn.PgConn // by name; "" is the default one
	vars     vars
	layout   layout
	dir      string // of __TEST_DIR__, once asked for
	failures Failures
	edits    *edits // of the file itself, not of included ones; nil unless rewriting
	depth    int    // of loops and includes: what is in them is not rewritten
}

var (
	errHalt   = errors.New("halt")
	errGiveUp = errors.New("too many failures")
)

// File runs the file at path. Its error is Failures unless the file could not be run at all.
func (r *Runner) File(ctx context.Context, path string) error {
	s, err := readScript(path)
	if err != nil {
		return err
	}
	f := &run{Runner: r, conns: map[string]*pgconn.PgConn{}, layout: layout{sort: "nosort"}}
	f.vars = vars{set: map[string]string{}, testDir: f.testDir}
	if r.Rewrite {
		f.edits = &edits{}
	}
	defer f.close()
	err = f.records(ctx, s.records)
	if err == nil || errors.Is(err, errHalt) {
		f.checkLeftovers(ctx, path)
	} else if !errors.Is(err, errGiveUp) {
		f.failures = append(f.failures, err)
	}
	if f.edits != nil && ctx.Err() == nil {
		if err := f.edits.write(s); err != nil {
			return err
		}
	}
	if len(f.failures) > 0 {
		return f.failures
	}
	return nil
}

// close ends all connections and removes the test's folder.
func (f *run) close() {
	f.disconnect()
	if f.dir != "" {
		os.RemoveAll(f.dir)
	}
}

func (f *run) disconnect() {
	for name, c := range f.conns {
		// A server that has gone must not hold us up.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		c.Close(ctx)
		cancel()
		delete(f.conns, name)
	}
}

func (f *run) testDir() (string, error) {
	if f.dir == "" {
		dir, err := os.MkdirTemp("", "slt")
		if err != nil {
			return "", fmt.Errorf("make test folder: %w", err)
		}
		f.dir = dir
	}
	return f.dir, nil
}

// connection returns the connection called name, opened now if it is new.
func (f *run) connection(ctx context.Context, name string) (*pgconn.PgConn, error) {
	if name == "default" {
		name = ""
	}
	if c := f.conns[name]; c != nil && !c.IsClosed() {
		return c, nil
	}
	c, err := f.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	f.conns[name] = c
	return c, nil
}

// records runs one record after the other. Its error ends the file.
func (f *run) records(ctx context.Context, list []*record) error {
	for _, r := range list {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: %w", r.pos, err)
		}
		if !f.applies(r) {
			continue
		}
		if err := f.record(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// applies checks the conditions of a record.
func (f *run) applies(r *record) bool {
	for _, c := range r.when {
		has := false
		for _, l := range f.Labels {
			has = has || l == c.label
		}
		if has != c.only {
			return false
		}
	}
	return true
}

// record runs one record.
func (f *run) record(ctx context.Context, r *record) error {
	var err error
	switch r.word {
	case "statement", "query":
		err = f.check(ctx, r)
	case "let":
		err = f.let(ctx, r)
	case "loop":
		return f.loop(ctx, r)
	case "for", "foreach":
		return f.each(ctx, r)
	case "include":
		return f.include(ctx, r)
	case "sleep":
		err = f.sleep(ctx, r.rest)
	case "halt":
		return errHalt
	case "restart":
		err = f.restart(ctx)
	case "control":
		err = f.control(r.rest)
	case "hash-threshold":
		f.layout.threshold, err = strconv.Atoi(r.rest)
	case "subtest":
	}
	if err == nil {
		return nil
	}
	f.failures = append(f.failures, fmt.Errorf("%s: %w", r.pos, err))
	limit := f.MaxFailures
	if limit == 0 {
		limit = 10
	}
	if len(f.failures) >= limit {
		return errGiveUp
	}
	return nil
}

func (f *run) sleep(ctx context.Context, text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("sleep: %w", err)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (f *run) restart(ctx context.Context) error {
	if f.Restart == nil {
		return errors.New("restart: this run has no way to restart the server")
	}
	f.disconnect()
	return f.Restart(ctx)
}

func (f *run) control(rest string) error {
	what, value, _ := strings.Cut(rest, " ")
	switch value = strings.TrimSpace(value); what + " " + value {
	case "sortmode nosort", "sortmode rowsort", "sortmode valuesort":
		f.layout.sort = value
	case "resultmode rowwise", "resultmode valuewise":
		f.layout.valuewise = value == "valuewise"
	case "substitution on", "substitution off":
		f.vars.on = value == "on"
	default:
		return fmt.Errorf("unknown control %q", rest)
	}
	return nil
}

// include runs other files in this one's place.
func (f *run) include(ctx context.Context, r *record) error {
	rest, err := f.vars.replace(r.rest)
	if err != nil {
		return fmt.Errorf("%s: %w", r.pos, err)
	}
	if f.depth > 50 {
		return fmt.Errorf("%s: files include one another", r.pos)
	}
	files, err := includes(r.pos.file, rest)
	if err != nil {
		return fmt.Errorf("%s: %w", r.pos, err)
	}
	f.depth++
	defer func() { f.depth-- }()
	for _, file := range files {
		s, err := readScript(file)
		if err != nil {
			return fmt.Errorf("%s: %w", r.pos, err)
		}
		if err := f.records(ctx, s.records); err != nil {
			return err
		}
	}
	return nil
}

// loop runs "loop NAME FROM TO", TO not included.
func (f *run) loop(ctx context.Context, r *record) error {
	rest, err := f.vars.replace(r.rest)
	if err != nil {
		return fmt.Errorf("%s: %w", r.pos, err)
	}
	w := strings.Fields(rest)
	if len(w) != 3 {
		return fmt.Errorf("%s: loop takes a name and two numbers", r.pos)
	}
	from, err1 := strconv.Atoi(w[1])
	to, err2 := strconv.Atoi(w[2])
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("%s: %w", r.pos, err)
	}
	for i := from; i < to; i++ {
		if err := f.round(ctx, r, w[0], strconv.Itoa(i)); err != nil {
			return err
		}
	}
	return nil
}

// each runs "for NAME [in] VALUE…".
func (f *run) each(ctx context.Context, r *record) error {
	rest, err := f.vars.replace(r.rest)
	if err != nil {
		return fmt.Errorf("%s: %w", r.pos, err)
	}
	w := strings.Fields(rest)
	if len(w) == 0 {
		return fmt.Errorf("%s: %s takes a name and values", r.pos, r.word)
	}
	values := w[1:]
	if len(values) > 0 && values[0] == "in" {
		values = values[1:]
	}
	for _, v := range values {
		if err := f.round(ctx, r, w[0], v); err != nil {
			return err
		}
	}
	return nil
}

// round runs a loop's body once.
func (f *run) round(ctx context.Context, r *record, name, value string) error {
	old, had := f.vars.set[name]
	f.vars.set[name] = value
	f.depth++
	defer func() {
		f.depth--
		if delete(f.vars.set, name); had {
			f.vars.set[name] = old
		}
	}()
	return f.records(ctx, r.body)
}

// let sets variables.
func (f *run) let(ctx context.Context, r *record) error {
	if name, value, ok := strings.Cut(r.rest, "="); ok {
		value, err := f.vars.replace(strings.TrimSpace(value))
		f.vars.set[strings.TrimLeft(strings.TrimSpace(name), "$")] = value
		return err
	}
	names := strings.FieldsFunc(r.rest, func(c rune) bool { return strings.ContainsRune("$(), \t", c) })
	sql, err := f.vars.replace(r.sql)
	if err != nil {
		return err
	}
	a, err := f.ask(ctx, r.conn, sql)
	if err != nil {
		return err
	}
	if a.err != nil {
		return fmt.Errorf("let failed: %s", errorText(a.err))
	}
	if len(a.rows) != 1 || a.columns != len(names) {
		return fmt.Errorf("let needs one row of %d columns, got %d rows of %d", len(names), len(a.rows), a.columns)
	}
	for i, n := range names {
		f.vars.set[n] = a.rows[0][i]
	}
	return nil
}

// checkLeftovers fails the file for what it has not dropped.
func (f *run) checkLeftovers(ctx context.Context, path string) {
	if f.Leftovers == nil {
		return
	}
	c, err := f.connection(ctx, "")
	var left []string
	if err == nil {
		left, err = f.Leftovers(ctx, c)
	}
	switch {
	case err != nil:
		f.failures = append(f.failures, fmt.Errorf("%s: look for what was left behind: %w", path, err))
	case len(left) > 0:
		f.failures = append(f.failures, fmt.Errorf("%s: left behind: %s", path, strings.Join(left, ", ")))
	}
}

// Relations lists the relations outside the system's schemas, for Runner.Leftovers.
func Relations(ctx context.Context, c *pgconn.PgConn) ([]string, error) {
	r := c.Exec(ctx, `SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'rw_catalog', 'millrace_catalog')
		ORDER BY 1`)
	results, err := r.ReadAll()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, row := range results[0].Rows {
		out = append(out, string(row[0]))
	}
	return out, nil
}
