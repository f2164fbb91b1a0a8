package session

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// follower is a cursor whose rows come as they happen, and never end: a cursor over a subscription, or one for SUBSCRIBE.
// FETCH takes what is there. It goes forward only, and lives until CLOSE or the session ends, in a block that declared it
// until the block ends.
type follower struct {
	name, query  string
	subscription string // its name; "": SUBSCRIBE
	columns      []pgwire.Column
	made, used   time.Time
	rows         followed
	block        bool // ends with its transaction
}

// followed is where a follower's rows come from.
type followed interface {
	// Fetch returns up to max rows. With fewer there it waits, at most for wait: until there is one, or with all until max
	// are there.
	Fetch(ctx context.Context, max int64, wait time.Duration, all bool) ([]*delta.Chunk, error)
	Close()
}

// follow adds a follower.
func (s *Session) follow(f *follower) {
	f.made, f.used = time.Now(), time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.followers == nil {
		s.followers = map[string]*follower{}
	}
	s.followers[f.name] = f
}

// freeCursorName refuses the name of a cursor that is open.
func (s *Session) freeCursorName(name string) error {
	if s.cursors[name] != nil || s.followers[name] != nil {
		return sqlerr.New(sqlerr.DuplicateCursor, "cursor %q already exists", name)
	}
	return nil
}

// declareFollower runs DECLARE … CURSOR FOR SUBSCRIBE.
func (s *Session) declareFollower(ctx context.Context, p *portal, x *parser.DeclareStmt) error {
	if err := s.freeCursorName(x.Name); err != nil {
		return err
	}
	if slices.Contains(x.Options, "SCROLL") || slices.Contains(x.Options, "BINARY") {
		return sqlerr.New(sqlerr.InvalidCursorDefinition, "a cursor for SUBSCRIBE cannot be %s", x.Options[0]).At(x.Pos)
	}
	rows, err := s.openSubscribe(ctx, p.p.subscribe)
	if err != nil {
		return err
	}
	s.follow(&follower{name: x.Name, query: p.p.st.text, columns: p.p.subscribe.columns, rows: rows, block: s.txn.block && (x.Hold == nil || !*x.Hold)})
	return nil
}

// fetchFollowed runs FETCH of a follower.
func (s *Session) fetchFollowed(f *follower, x *parser.FetchStmt) (pgwire.Rows, error) {
	max := x.Count
	switch {
	case x.Kind != parser.FetchForward || max < 0:
		return nil, sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "cursor can only scan forward")
	case x.Move:
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "MOVE is not supported for cursor %q, whose rows come as they happen", f.name)
	case x.All:
		max = 1<<63 - 1
	}
	wait := time.Duration(0)
	for _, o := range x.Options {
		if o.Name != "timeout" {
			return nil, sqlerr.New(sqlerr.SyntaxError, "option %q not recognized", o.Name).At(o.Pos).WithHint("FETCH has the option timeout.")
		}
		var err error
		if wait, err = s.duration(o); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	f.used = time.Now()
	s.mu.Unlock()
	return &fetching{f: f, left: max, deadline: time.Now().Add(wait)}, nil
}

// fetching is a FETCH of a follower under way: a part at a time, so that it does not matter how much there is.
type fetching struct {
	f        *follower
	left     int64
	rows     int64
	deadline time.Time
	chunks   []*delta.Chunk
	ended    bool
}

// Next implements pgwire.Rows. A cursor for SUBSCRIBE fills what was asked for within the time; one over a subscription
// returns the first that comes.
func (x *fetching) Next(ctx context.Context) (*delta.Chunk, error) {
	if len(x.chunks) == 0 && !x.ended && x.left > 0 {
		all := x.f.subscription == ""
		wait := time.Duration(0)
		if all || x.rows == 0 {
			wait = time.Until(x.deadline)
		}
		asked := min(x.left, delta.BatchRows)
		chunks, err := x.f.rows.Fetch(ctx, asked, wait, all)
		if err != nil {
			return nil, err
		}
		got := int64(0)
		for _, c := range chunks {
			got += int64(c.Len())
		}
		x.chunks, x.rows, x.left, x.ended = chunks, x.rows+got, x.left-got, got < asked
	}
	if len(x.chunks) == 0 {
		return nil, nil
	}
	c := x.chunks[0]
	x.chunks = x.chunks[1:]
	return c, nil
}

// Tag implements pgwire.Rows.
func (x *fetching) Tag() string { return fmt.Sprintf("FETCH %d", x.rows) }

// Close implements pgwire.Rows.
func (x *fetching) Close() {}

// duration reads an option that is an interval or, without a unit, a number of seconds.
func (s *Session) duration(o parser.Option) (time.Duration, error) {
	text, ok := o.Text()
	if !ok {
		return 0, sqlerr.New(sqlerr.InvalidParameterValue, "option %q is not an interval", o.Name).At(o.Pos)
	}
	v, err := s.constant(&parser.Cast{X: &parser.StringLit{Value: text}, Type: &parser.TypeName{Name: parser.Name{Parts: []string{"interval"}}}}, sqltypes.IntervalT)
	if err != nil {
		return 0, sqlerr.New(sqlerr.InvalidParameterValue, "option %q: invalid interval %q", o.Name, text).At(o.Pos)
	}
	i, _ := v.(datetime.Interval)
	const longest = 100 * 365 * 24 * time.Hour
	days := int64(i.Months)*30 + int64(i.Days)
	if i.Micros < 0 || days < 0 || days > int64(longest/(24*time.Hour)) || i.Micros > longest.Microseconds() {
		return 0, sqlerr.New(sqlerr.InvalidParameterValue, "option %q: %q is out of range", o.Name, text).At(o.Pos)
	}
	return time.Duration(i.Micros)*time.Microsecond + time.Duration(days)*24*time.Hour, nil
}

// closeFollower runs CLOSE of a follower.
func (s *Session) closeFollower(name string) {
	f := s.followers[name]
	s.mu.Lock()
	delete(s.followers, name)
	s.mu.Unlock()
	f.rows.Close()
}

func (s *Session) closeFollowers() {
	for name := range s.followers {
		s.closeFollower(name)
	}
}

// endFollowers closes the followers of a transaction that has ended.
func (s *Session) endFollowers() {
	for name, f := range s.followers {
		if f.block {
			s.closeFollower(name)
		}
	}
}

// subscriptionCursors lists the cursors over subscriptions of all sessions.
func (m *Manager) subscriptionCursors(database string) [][]sqltypes.Datum {
	m.mu.Lock()
	defer m.mu.Unlock()
	var rows [][]sqltypes.Datum
	for _, s := range m.sessions {
		s.mu.Lock()
		for _, f := range s.followers {
			if f.subscription != "" {
				rows = append(rows, []sqltypes.Datum{fmt.Sprint(s.start.PID), s.start.User, s.start.Remote, database, f.name, f.subscription,
					time.Since(f.used).Milliseconds()})
			}
		}
		s.mu.Unlock()
	}
	slices.SortFunc(rows, func(a, b []sqltypes.Datum) int {
		return strings.Compare(fmt.Sprint(a[4], a[0]), fmt.Sprint(b[4], b[0]))
	})
	return rows
}
