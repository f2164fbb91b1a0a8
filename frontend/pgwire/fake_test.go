package pgwire

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

var (
	tInt4 = sqltypes.Type{Kind: sqltypes.KInt4}
	tInt8 = sqltypes.Type{Kind: sqltypes.KInt8}
	tText = sqltypes.Type{Kind: sqltypes.KText}
)

// fakeBackend answers a language of its own, one word a command:
//
//	rows N           N rows of (id bigint, name text); a NULL name where id is a multiple of 5
//	weights          one row of weight 3, one of 1, one of 0
//	add $1 $2        the sum of two integers
//	echo $1          its parameter, of the type asked for, else text
//	insert           no rows, "INSERT 0 1", noted in the journal
//	begin, commit, rollback, failcommit
//	fail, fail-row, internal, boom, syntax
//	wait             until cancelled
//	set NAME VALUE, notice TEXT, warn TEXT
//	copyin, copyout N
type fakeBackend struct {
	passwords map[string]string // by user; "" for a user who has none
	mu        sync.Mutex
	journal   []string
	waiting   chan struct{} // gets a value when a wait has begun
	verifiers map[string]*ScramVerifier
	started   Startup
	copied    []byte
}

func newFakeBackend() *fakeBackend {
	return &fakeBackend{waiting: make(chan struct{}, 16), verifiers: map[string]*ScramVerifier{}}
}

func (b *fakeBackend) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.journal = append(b.journal, fmt.Sprintf(format, args...))
}

// take returns the journal and empties it.
func (b *fakeBackend) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := strings.Join(b.journal, "; ")
	b.journal = nil
	return s
}

func (b *fakeBackend) Password(user string) (*ScramVerifier, bool) {
	if b.passwords == nil {
		return nil, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if v := b.verifiers[user]; v != nil {
		return v, true
	}
	if p, ok := b.passwords[user]; ok {
		v, err := NewScramVerifier(p)
		if err != nil {
			panic(err)
		}
		b.verifiers[user] = v
		return v, true
	}
	return nil, true
}

func (b *fakeBackend) Open(_ context.Context, p Startup) (Session, error) {
	switch p.Database {
	case "nowhere":
		return nil, sqlerr.New(sqlerr.InvalidCatalogName, `database "nowhere" does not exist`)
	case "panic":
		panic("open panics")
	case "broken":
		return nil, errors.New("disk on fire")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.started = p
	return &fakeSession{b: b, status: 'I', settings: sqlio.DefaultSettings(), params: map[string]string{}}, nil
}

type fakeSession struct {
	named      map[string]fakeNamed
	b          *fakeBackend
	status     byte
	settings   *sqlio.Settings
	params     map[string]string
	notices    []*sqlerr.Error
	failCommit bool
}

type fakeStatement struct {
	text   string
	offset int
}

func (s fakeStatement) Text() string { return s.text }
func (s fakeStatement) Empty() bool  { return strings.TrimSpace(s.text) == "" }

func (s fakeStatement) words() []string { return strings.Fields(s.text) }

// word is the command, in any case.
func (s fakeStatement) word() string { return strings.ToLower(s.words()[0]) }

func (s *fakeSession) Parse(sql string) ([]Statement, error) {
	var out []Statement
	at := 0
	for part := range strings.SplitSeq(sql, ";") {
		lead := len(part) - len(strings.TrimLeftFunc(part, unicode.IsSpace))
		st := fakeStatement{text: strings.TrimSpace(part), offset: at + lead}
		if st.text == "syntax" {
			return nil, sqlerr.New(sqlerr.SyntaxError, `syntax error at or near "syntax"`).At(st.offset)
		}
		out = append(out, st)
		at += len(part) + 1
	}
	return out, nil
}

func (s *fakeSession) Prepare(_ context.Context, st Statement, oids []uint32) (Prepared, error) {
	f := st.(fakeStatement)
	if s.status == 'E' && f.word() != "rollback" && f.word() != "commit" {
		return nil, sqlerr.New(sqlerr.InFailedSQLTransaction,
			"current transaction is aborted, commands ignored until end of transaction block")
	}
	p := &fakePrepared{s: s, f: f}
	switch f.word() {
	case "rows", "weights", "fail-row":
		p.cols = []Column{{Name: "id", Type: tInt8, TableOID: 77, AttNum: 1}, {Name: "name", Type: tText}}
	case "add":
		p.params, p.cols = []sqltypes.Type{tInt4, tInt4}, []Column{{Name: "sum", Type: tInt4}}
	case "echo":
		t := tText
		if len(oids) > 0 {
			t, _ = sqltypes.ByOID(oids[0])
		}
		p.params, p.cols = []sqltypes.Type{t}, []Column{{Name: "echo", Type: t}}
	case "missing":
		return nil, sqlerr.New(sqlerr.UndefinedTable, `relation "missing" does not exist`).At(f.offset)
	}
	return p, nil
}

func (s *fakeSession) EndImplicit(_ context.Context, failed bool) error {
	s.b.note("end(%v)", failed)
	if failed && s.status == 'T' {
		s.status = 'E'
	}
	if !failed && s.failCommit {
		s.failCommit = false
		return sqlerr.New(sqlerr.SerializationFailure, "could not serialize access")
	}
	return nil
}

func (s *fakeSession) TxStatus() byte { return s.status }

func (s *fakeSession) ParameterStatus() map[string]string {
	return map[string]string{"server_version": "15.0", "client_encoding": "UTF8", "standard_conforming_strings": "on",
		"DateStyle": "ISO, MDY", "integer_datetimes": "on"}
}

func (s *fakeSession) ParameterChanges() map[string]string {
	if len(s.params) == 0 {
		return nil
	}
	p := s.params
	s.params = map[string]string{}
	return p
}

func (s *fakeSession) Notices() []*sqlerr.Error {
	n := s.notices
	s.notices = nil
	return n
}

func (s *fakeSession) Settings() *sqlio.Settings { return s.settings }

func (s *fakeSession) Close() { s.b.note("closed") }

type fakePrepared struct {
	s      *fakeSession
	f      fakeStatement
	params []sqltypes.Type
	cols   []Column
}

func (p *fakePrepared) Params() []sqltypes.Type { return p.params }
func (p *fakePrepared) Columns() []Column       { return p.cols }
func (p *fakePrepared) Close()                  {}

func (p *fakePrepared) Bind(_ context.Context, args []sqltypes.Datum) (Portal, error) {
	return &fakePortal{p: p, args: args}, nil
}

type fakePortal struct {
	p    *fakePrepared
	args []sqltypes.Datum
}

func (p *fakePortal) Columns() []Column { return p.p.cols }

func (p *fakePortal) CopyIn(context.Context) (CopyIn, bool, error) {
	if p.p.f.text != "copyin" {
		return nil, false, nil
	}
	return &fakeCopyIn{s: p.p.s}, true, nil
}

func (p *fakePortal) CopyOut(context.Context) (CopyOut, bool, error) {
	w := p.p.f.words()
	if w[0] != "copyout" {
		return nil, false, nil
	}
	n, _ := strconv.Atoi(w[1])
	return &fakeCopyOut{n: n}, true, nil
}

func (p *fakePortal) Execute(ctx context.Context) (Rows, error) {
	s, w := p.p.s, p.p.f.words()
	rest := strings.Join(w[1:], " ")
	r := &fakeRows{p: p, tag: strings.ToUpper(w[0])}
	switch p.p.f.word() {
	case "insert":
		s.b.note("insert")
		r.tag = "INSERT 0 1"
	case "begin":
		s.status = 'T'
	case "commit", "rollback":
		if s.status == 'E' {
			r.tag = "ROLLBACK"
		}
		s.status = 'I'
	case "failcommit":
		s.failCommit = true
	case "fail":
		return nil, sqlerr.New(sqlerr.DivisionByZero, "division by zero").At(p.p.f.offset).
			WithDetail("the detail").WithHint("the hint").WithTable("public", "t", "c", "t_check")
	case "internal":
		return nil, fmt.Errorf("read block 7: %w", errors.New("secret path"))
	case "boom":
		panic("boom")
	case "wait":
		s.b.waiting <- struct{}{}
		<-ctx.Done()
		return nil, fmt.Errorf("wait: %w", ctx.Err())
	case "set":
		s.params[w[1]] = strings.Join(w[2:], " ")
	case "notice":
		s.notices = append(s.notices, sqlerr.New(sqlerr.SuccessfulCompletion, "%s", rest))
	case "warn":
		s.notices = append(s.notices, sqlerr.New(sqlerr.Warning, "%s", rest))
	case "rows":
		n, _ := strconv.Atoi(w[1])
		r.total, r.tag = n, fmt.Sprintf("SELECT %d", n)
	case "fail-row":
		r.total, r.failAt = 10, 3
	case "weights":
		r.tag = "SELECT 4"
		b := delta.NewBuilder([]sqltypes.Type{tInt8, tText})
		b.AppendDatums([]sqltypes.Datum{int64(1), "one"}, 3)
		b.AppendDatums([]sqltypes.Datum{int64(2), "two"}, 0)
		b.AppendDatums([]sqltypes.Datum{int64(3), "three"}, 1)
		r.ready = b.Take()
	case "add":
		r.tag, r.ready = "SELECT 1", oneRow(tInt4, p.args[0].(int64)+p.args[1].(int64))
	case "echo":
		r.tag, r.ready = "SELECT 1", oneRow(p.p.cols[0].Type, p.args[0])
	}
	return r, nil
}

func oneRow(t sqltypes.Type, d sqltypes.Datum) *delta.Chunk {
	b := delta.NewBuilder([]sqltypes.Type{t})
	b.AppendDatums([]sqltypes.Datum{d}, 1)
	return b.Take()
}

type fakeRows struct {
	p      *fakePortal
	ready  *delta.Chunk
	total  int
	made   int
	failAt int
	tag    string
}

func (r *fakeRows) Next(ctx context.Context) (*delta.Chunk, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c := r.ready; c != nil {
		r.ready = nil
		return c, nil
	}
	if r.made >= r.total {
		return nil, nil
	}
	b := delta.NewBuilder([]sqltypes.Type{tInt8, tText})
	for n := 0; n < delta.BatchRows && r.made < r.total; n++ {
		if r.failAt > 0 && r.made == r.failAt {
			if b.Len() == 0 {
				return nil, sqlerr.New(sqlerr.DivisionByZero, "division by zero")
			}
			break
		}
		r.made++
		var name any = "n" + strconv.Itoa(r.made)
		if r.made%5 == 0 {
			name = nil
		}
		b.AppendDatums([]sqltypes.Datum{int64(r.made), name}, 1)
	}
	return b.Take(), nil
}

func (r *fakeRows) Tag() string { return r.tag }
func (r *fakeRows) Close()      {}

type fakeCopyIn struct {
	s    *fakeSession
	data []byte
}

func (c *fakeCopyIn) Format() (int, bool) { return 2, false }

func (c *fakeCopyIn) Write(_ context.Context, data []byte) error {
	if strings.Contains(string(data), "bad") {
		return sqlerr.New(sqlerr.BadCopyFileFormat, "missing data for column \"b\"")
	}
	c.data = append(c.data, data...)
	return nil
}

func (c *fakeCopyIn) Finish(context.Context) (string, error) {
	c.s.b.mu.Lock()
	defer c.s.b.mu.Unlock()
	c.s.b.copied = c.data
	return fmt.Sprintf("COPY %d", strings.Count(string(c.data), "\n")), nil
}

func (c *fakeCopyIn) Abort(cause error) { c.s.b.note("abort(%s)", sqlerr.CodeOf(cause)) }

type fakeCopyOut struct{ n, made int }

func (c *fakeCopyOut) Format() (int, bool) { return 2, false }

func (c *fakeCopyOut) Next(context.Context) ([]byte, error) {
	if c.made == c.n {
		return nil, nil
	}
	c.made++
	return fmt.Appendf(nil, "%d\tn%d\n", c.made, c.made), nil
}

func (c *fakeCopyOut) Tag() string { return fmt.Sprintf("COPY %d", c.n) }
func (c *fakeCopyOut) Close()      {}

// Named implements Session.
func (s *fakeSession) Named(name string) (string, Prepared, bool) {
	n, ok := s.named[name]
	return n.sql, n.p, ok
}

// Keep implements Session.
func (s *fakeSession) Keep(name, sql string, p Prepared) {
	if s.named == nil {
		s.named = map[string]fakeNamed{}
	}
	s.named[name] = fakeNamed{sql, p}
}

// Drop implements Session.
func (s *fakeSession) Drop(name string) { delete(s.named, name) }

// Cursor implements Session.
func (s *fakeSession) Cursor(string) ([]Column, bool) { return nil, false }

// IdleTimeout implements Session.
func (s *fakeSession) IdleTimeout() (time.Duration, *sqlerr.Error) { return 0, nil }

type fakeNamed struct {
	sql string
	p   Prepared
}
