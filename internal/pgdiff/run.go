package pgdiff

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Side is one server.
type Side struct {
	Connect func(ctx context.Context) (*pgconn.PgConn, error)
	// ConnectTo connects to another database.
	ConnectTo func(ctx context.Context, database string) (*pgconn.PgConn, error)
	conn      *pgconn.PgConn
	setup     []string // repeated on each new connection
}

// Pair asks both sides and keeps what they disagree in that is not on the list.
type Pair struct {
	Ours, Theirs *Side
	Intended     Differences
	Found        []Finding
	Asked        int
	Errors       int // statements that both refuse alike
	settings     string
}

// Finding is a statement that the two answer differently.
type Finding struct {
	Statement
	Settings    string
	Format      Format
	Differences []Difference
}

// String prints the finding so that it can be repeated in psql.
func (f Finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", f.Of)
	if f.Settings != "" {
		fmt.Fprintf(&b, "  %s\n", f.Settings)
	}
	fmt.Fprintf(&b, "  %s;\n", f.SQL)
	for _, d := range f.Differences {
		if f.Format == Binary {
			b.WriteString("  binary")
		}
		fmt.Fprintf(&b, "  %s\n", d)
	}
	return b.String()
}

// limit is what any one statement may take; a statement that takes longer on either side is left out.
const limit = 3 * time.Second

func (s *Side) connection(ctx context.Context) (*pgconn.PgConn, error) {
	if s.conn != nil && !s.conn.IsClosed() {
		return s.conn, nil
	}
	c, err := s.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	s.conn = c
	setup := append([]string{fmt.Sprintf("SET statement_timeout = %d", limit.Milliseconds())}, s.setup...)
	answers, err := Ask(ctx, c, Text, setup)
	if err != nil {
		return nil, err
	}
	for i, a := range answers {
		if a.Err != nil {
			return nil, fmt.Errorf("%s: %w", setup[i], a.Err)
		}
	}
	return c, nil
}

// Close ends the side's connection.
func (s *Side) Close() {
	if s.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.conn.Close(ctx)
		s.conn = nil
	}
}

// ask returns answers, each of a lost connection being an error of its own: what brings a server down is found by
// asking one by one.
func (s *Side) ask(ctx context.Context, format Format, statements []string) ([]Answer, error) {
	c, err := s.connection(ctx)
	if err != nil {
		return nil, err
	}
	out, err := Ask(ctx, c, format, statements)
	if err == nil {
		return out, nil
	}
	s.Close()
	if len(statements) == 1 {
		return []Answer{{Err: &pgconn.PgError{Code: "lost", Message: err.Error()}}}, ctx.Err()
	}
	out = nil
	for _, sql := range statements {
		one, err := s.ask(ctx, format, []string{sql})
		if err != nil {
			return nil, err
		}
		out = append(out, one...)
	}
	return out, nil
}

// both asks both sides at the same time.
func (p *Pair) both(ctx context.Context, format Format, statements []string) (ours, theirs []Answer, err error) {
	done := make(chan error)
	go func() { // received below
		var err error
		theirs, err = p.Theirs.ask(ctx, format, statements)
		done <- err
	}()
	ours, err = p.Ours.ask(ctx, format, statements)
	return ours, theirs, errors.Join(err, <-done)
}

// Set runs SET statements on both sides, for all that follows.
func (p *Pair) Set(ctx context.Context, list ...string) error {
	p.settings = ""
	var setup []string
	for _, s := range list {
		setup = append(setup, "SET "+s)
		p.settings += "SET " + s + "; "
	}
	p.Ours.Close()
	p.Theirs.Close()
	p.Ours.setup, p.Theirs.setup = setup, setup
	_, _, err := p.both(ctx, Text, []string{"SELECT 1"})
	return err
}

// Check asks both sides each statement, as text and, if both answer that alike, as binary.
func (p *Pair) Check(ctx context.Context, list []Statement) error {
	const batch = 64
	for ; len(list) > 0; list = list[min(batch, len(list)):] {
		if err := p.check(ctx, list[:min(batch, len(list))]); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pair) check(ctx context.Context, list []Statement) error {
	texts := func(list []Statement) (out []string) {
		for _, s := range list {
			out = append(out, s.SQL)
		}
		return out
	}
	ours, theirs, err := p.both(ctx, Text, texts(list))
	if err != nil {
		return err
	}
	var again []Statement
	for i, s := range list {
		p.Asked++
		if p.judge(s, Text, &ours[i], &theirs[i]) && theirs[i].Err == nil {
			again = append(again, s)
		}
		if theirs[i].Err != nil {
			p.Errors++
		}
	}
	if len(again) == 0 {
		return nil
	}
	if ours, theirs, err = p.both(ctx, Binary, texts(again)); err != nil {
		return err
	}
	for i, s := range again {
		p.judge(s, Binary, &ours[i], &theirs[i])
	}
	return nil
}

// judge compares two answers and reports whether they are alike.
func (p *Pair) judge(s Statement, format Format, ours, theirs *Answer) bool {
	timeout := func(a *Answer) bool { return a.Err != nil && a.Err.Code == "57014" }
	if timeout(ours) || timeout(theirs) {
		return false
	}
	var bad []Difference
	for _, d := range Compare(ours, theirs, s.Any) {
		if !p.Intended.Intends(s.SQL, d) {
			bad = append(bad, d)
		}
	}
	if len(bad) > 0 {
		p.Found = append(p.Found, Finding{s, p.settings, format, bad})
	}
	return len(bad) == 0
}
