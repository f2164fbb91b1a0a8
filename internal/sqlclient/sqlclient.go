// Package sqlclient is the small SQL client behind "millrace sql", for people without psql.
//
// The idea: it behaves as psql does wherever it does the same thing: the same tables, the same error lines,
// the same backslash commands, the same exit codes. Statements go out through the simple query protocol, so
// values are printed as the server writes them.
//
// Run owns everything and runs in the caller's goroutine; while a statement runs, one more goroutine turns
// Ctrl-C into a cancel request.
//
// Invariants: results go to Out, everything else to Err; a statement is sent once and never repeated; a
// script (-f, or standard input that is not a terminal) stops at its first error.
//
// It knows the server through pg_catalog only, has no variables, no formats beside aligned and expanded,
// and no pager. Start at Run.
package sqlclient

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/term"
)

// Exit codes, psql's.
const (
	exitOK     = 0
	exitError  = 1 // a command given with -c failed, or a file could not be read
	exitLost   = 2 // there is no connection, or no longer
	exitScript = 3 // a statement of a script failed
)

// Options say what to run and where.
type Options struct {
	// DSN is a connection string or URL; the fields below go before what it says. With neither, the
	// environment (PGHOST …) decides as for every client.
	DSN                      string
	Addr                     string // host:port
	User, Password, Database string
	Command                  []string // run these, in order, instead of reading In
	File                     string   // then run this file; "-" is In
	In                       io.Reader
	Out, Err                 io.Writer
	Interactive              bool // prompt, edit lines if In is a terminal, go on after errors
	ApplicationName          string
	interrupts               func() (c <-chan os.Signal, stop func()) // of the terminal, while a statement runs
}

// Run runs a client and returns its exit code.
func Run(ctx context.Context, o Options) (exitCode int) {
	if o.interrupts == nil {
		o.interrupts = notifyInterrupt
	}
	c := &client{o: o, out: bufio.NewWriter(o.Out)}
	defer c.out.Flush()
	if err := c.connect(ctx); err != nil {
		c.say("millrace: %s\n", connectText(err))
		return exitLost
	}
	defer c.conn.Close(context.WithoutCancel(ctx))
	for _, cmd := range o.Command {
		if err := c.command(ctx, cmd); err != nil {
			return c.exitCode(err, exitError)
		}
	}
	switch {
	case o.File != "" && o.File != "-":
		return c.exitCode(c.file(ctx, o.File), exitScript)
	case len(o.Command) > 0 && o.File == "":
		return exitOK
	case o.Interactive:
		return c.exitCode(c.interactive(ctx), exitScript)
	}
	return c.exitCode(c.script(ctx, "<stdin>", o.In), exitScript)
}

func notifyInterrupt() (<-chan os.Signal, func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, os.Interrupt)
	return ch, func() { signal.Stop(ch) }
}

// client is a running client.
type client struct {
	o        Options
	conn     *pgconn.PgConn
	out      *bufio.Writer
	expanded bool
	timing   bool
	depth    int // of \i
	// where is put before errors of a script ("file:3: ").
	where string
}

var (
	errQuit = errors.New("quit")
	// errTold is an error the user has been told of.
	errTold = errors.New("statement failed")
	errLost = errors.New("connection lost")
	// errNoFile is a file that cannot be read; the user has been told.
	errNoFile = errors.New("file cannot be read")
)

func (c *client) exitCode(err error, told int) int {
	switch {
	case err == nil || errors.Is(err, errQuit):
		return exitOK
	case errors.Is(err, errLost):
		return exitLost
	case errors.Is(err, errNoFile):
		return exitError
	}
	return told
}

// say writes to Err, after what is to come before it on Out.
func (c *client) say(format string, args ...any) {
	c.out.Flush()
	fmt.Fprintf(c.o.Err, format, args...)
}

// connect opens the connection.
func (c *client) connect(ctx context.Context) error {
	cfg, err := pgconn.ParseConfig(c.o.DSN)
	if err != nil {
		return err
	}
	if c.o.Addr != "" {
		host, port, err := net.SplitHostPort(c.o.Addr)
		if err != nil {
			return fmt.Errorf("address %q: %w", c.o.Addr, err)
		}
		n, err := net.LookupPort("tcp", port)
		if err != nil {
			return fmt.Errorf("address %q: %w", c.o.Addr, err)
		}
		cfg.Host, cfg.Port = host, uint16(n)
		for _, f := range cfg.Fallbacks {
			f.Host, f.Port = cfg.Host, cfg.Port
			if f.TLSConfig != nil {
				f.TLSConfig.ServerName = host
			}
		}
		if cfg.TLSConfig != nil {
			cfg.TLSConfig.ServerName = host
		}
	}
	for _, s := range []struct{ dst, src *string }{
		{&cfg.User, &c.o.User}, {&cfg.Password, &c.o.Password}, {&cfg.Database, &c.o.Database},
	} {
		if *s.src != "" {
			*s.dst = *s.src
		}
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = c.o.ApplicationName
		if c.o.ApplicationName == "" {
			cfg.RuntimeParams["application_name"] = "millrace sql"
		}
	}
	if c.o.Database = cfg.Database; cfg.Database == "" {
		c.o.Database = cfg.User
	}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		c.say("%s%s", c.where, errorText((*pgconn.PgError)(n), ""))
	}
	c.conn, err = pgconn.ConnectConfig(ctx, cfg)
	var pe *pgconn.PgError
	if cfg.Password == "" && errors.As(err, &pe) && pe.Code == "28P01" && c.askPassword(cfg) {
		c.conn, err = pgconn.ConnectConfig(ctx, cfg)
	}
	return err
}

// askPassword asks the person at the terminal, if there is one, for the password that the server wants.
func (c *client) askPassword(cfg *pgconn.Config) bool {
	f, ok := c.o.In.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return false
	}
	c.say("Password for user %s: ", cfg.User)
	password, err := term.ReadPassword(int(f.Fd()))
	c.say("\n")
	cfg.Password = string(password)
	return err == nil && len(password) > 0
}

// connectText is what is said of a failed connection: the server's words, if there are any.
func connectText(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return strings.TrimRight(errorText(pe, ""), "\n")
	}
	return err.Error()
}

// command runs what was given with -c: a backslash command, or SQL sent as one script.
func (c *client) command(ctx context.Context, text string) error {
	if t := strings.TrimSpace(text); strings.HasPrefix(t, `\`) {
		return c.backslash(ctx, t)
	}
	return c.run(ctx, text, c.o.In)
}

// file runs a script.
func (c *client) file(ctx context.Context, name string) error {
	f, err := os.Open(name)
	if err != nil {
		c.say("millrace: %v\n", err)
		return errNoFile
	}
	defer f.Close()
	return c.script(ctx, name, f)
}

// script runs the statements of r up to the first that fails.
func (c *client) script(ctx context.Context, name string, r io.Reader) error {
	defer func(old string) { c.where = old }(c.where)
	lines := &plainLines{r: bufio.NewReader(r)}
	return c.session(ctx, lines, func() { c.where = fmt.Sprintf("%s:%d: ", name, lines.n) }, true)
}

// interactive prompts for statements until the user leaves.
func (c *client) interactive(ctx context.Context) error {
	version := c.conn.ParameterStatus("server_version")
	fmt.Fprintf(c.out, "millrace sql (server %s)\nType \"\\?\" for help.\n\n", version)
	err := c.session(ctx, newLines(c.o.In, c.o.Out), func() {}, false)
	fmt.Fprintln(c.out)
	return err
}

// session reads lines and runs what they hold. mark is called when a line has been read.
func (c *client) session(ctx context.Context, lines lineReader, mark func(), stopAtError bool) error {
	var s splitter
	for {
		c.out.Flush()
		line, err := lines.read(c.prompt(&s))
		mark()
		switch {
		case errors.Is(err, errInterrupted):
			s = splitter{}
			continue
		case err == io.EOF:
			if rest := s.rest(); rest != "" && stopAtError {
				return c.run(ctx, rest, nil)
			}
			return nil
		case err != nil:
			c.say("millrace: %v\n", err)
			return errTold
		}
		if err := c.line(ctx, &s, line, lines); err != nil {
			if errors.Is(err, errQuit) || errors.Is(err, errLost) || stopAtError {
				return err
			}
			if c.conn.IsClosed() {
				return errLost
			}
		}
	}
}

// line takes one line of input: a backslash command, or a piece of SQL.
func (c *client) line(ctx context.Context, s *splitter, line string, lines lineReader) error {
	if t := strings.TrimSpace(line); s.plain() && strings.HasPrefix(t, `\`) {
		return c.backslash(ctx, t)
	}
	if t := strings.ToLower(strings.TrimSpace(line)); s.empty() && (t == "quit" || t == "exit") {
		return errQuit
	}
	for _, stmt := range s.add(line) {
		var data io.Reader
		if dir := copyDirection(stmt); dir == copyFrom {
			data = c.copyData(lines)
		}
		if err := c.run(ctx, stmt, data); err != nil {
			return err
		}
	}
	return nil
}

// copyData collects the lines up to "\.", the data of a COPY that a script or a person gives.
func (c *client) copyData(lines lineReader) io.Reader {
	if c.o.Interactive {
		fmt.Fprint(c.out, "Enter data to be copied followed by a newline.\n"+
			"End with a backslash and a period on a line by itself, or an EOF signal.\n")
		c.out.Flush()
	}
	var b bytes.Buffer
	for {
		line, err := lines.read(">> ")
		if err != nil || line == `\.` {
			return &b
		}
		b.WriteString(line + "\n")
	}
}

// prompt is psql's: the database, and what the statement waits for.
func (c *client) prompt(s *splitter) string { return c.o.Database + s.mark() + "> " }

// run sends sql and prints what comes back. data feeds a COPY FROM STDIN.
func (c *client) run(ctx context.Context, sql string, data io.Reader) error {
	start := time.Now()
	stop := c.watchInterrupts(ctx)
	var err error
	switch copyDirection(sql) {
	case copyFrom:
		if data == nil {
			data = strings.NewReader("")
		}
		var tag pgconn.CommandTag
		if tag, err = c.conn.CopyFrom(ctx, data, sql); err == nil {
			fmt.Fprintln(c.out, tag)
		}
	case copyTo:
		_, err = c.conn.CopyTo(ctx, c.out, sql)
	default:
		err = c.query(ctx, sql)
	}
	stop()
	if err != nil {
		return c.failed(err, sql)
	}
	if c.timing {
		fmt.Fprintf(c.out, "Time: %.3f ms\n", float64(time.Since(start).Microseconds())/1000)
	}
	return nil
}

// watchInterrupts sends a cancel request for each Ctrl-C until stop is called.
func (c *client) watchInterrupts(ctx context.Context) (stop func()) {
	ch, release := c.o.interrupts()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() { // stop waits for it
		defer close(done)
		for {
			select {
			case <-ch:
				c.conn.CancelRequest(ctx)
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
		release()
	}
}

// failed tells the user of an error.
func (c *client) failed(err error, sql string) error {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		c.say("%s%s", c.where, errorText(pe, sql))
	} else {
		c.say("%s%v\n", c.where, err)
	}
	if c.conn.IsClosed() {
		c.say("%sconnection to server was lost\n", c.where)
		return errLost
	}
	return errTold
}

// query sends sql through the simple protocol and prints each result.
func (c *client) query(ctx context.Context, sql string) error {
	results := c.conn.Exec(ctx, sql)
	for results.NextResult() {
		t, tag, err := readResult(results.ResultReader())
		if err != nil {
			break // Close says it again
		}
		if t != nil {
			t.count = true
			t.print(c.out, c.expanded)
			if strings.HasPrefix(tag, "SELECT") || strings.HasPrefix(tag, "FETCH") || !strings.ContainsAny(tag, "0123456789") {
				continue
			}
		}
		if tag != "" {
			fmt.Fprintln(c.out, tag)
		}
	}
	return results.Close()
}

// readResult makes a table of a result; nil for a statement that returns no rows.
func readResult(r *pgconn.ResultReader) (t *table, tag string, err error) {
	// Before the rows: a result without any does not keep its description.
	if fields := r.FieldDescriptions(); fields != nil {
		t = &table{}
		for _, f := range fields {
			t.columns = append(t.columns, f.Name)
			t.right = append(t.right, isNumber(f.DataTypeOID))
		}
	}
	all := r.Read()
	if t != nil {
		t.rows = all.Rows
	}
	return t, all.CommandTag.String(), all.Err
}

// isNumber tells the types whose values psql aligns to the right.
func isNumber(oid uint32) bool {
	switch oid {
	case 20, 21, 23, 26, 700, 701, 790, 1700, 28, 29, 5069:
		return true
	}
	return false
}
