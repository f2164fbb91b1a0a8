package demo

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// feed reads the views.
type feed struct {
	conn    *pgx.Conn
	emitted func(job string) (int64, bool)
	rate    int // of the source
	history []reading
}

type reading struct {
	at     time.Time
	events int64
}

// state is what the views held at one moment.
type state struct {
	At                              time.Time
	Events, Persons, Auctions, Bids int64
	PerSecond                       float64
	Rate                            int           // what the source is asked to give
	Age                             time.Duration // of the newest event that can be seen; negative: unknown
	Window                          time.Time
	Hot                             []hotAuction
	Categories                      []category
	States                          []region
}

type hotAuction struct{ Auction, Bids, Highest int64 }

type category struct {
	Category, Sold, Dearest int64
	Revenue                 float64
}

type region struct {
	State         string
	Bids, Highest int64
	Volume        float64
}

// rateOption finds the pace in the statement that made the source.
var rateOption = regexp.MustCompile(`nexmark\.rows\.per\.second\s*=\s*'(\d+)'`)

// create makes what is not there yet.
func (f *feed) create(ctx context.Context, rate int) error {
	var name, text string
	f.rate = rate
	if err := f.conn.QueryRow(ctx, "SHOW CREATE SOURCE nexmark").Scan(&name, &text); err == nil {
		if m := rateOption.FindStringSubmatch(text); m != nil {
			f.rate, _ = strconv.Atoi(m[1])
		}
	}
	for _, sql := range append([]string{source(rate, time.Now())}, relations...) {
		if _, err := f.conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("create the demo's views: %w", err)
		}
	}
	return nil
}

// read takes a look at all views.
func (f *feed) read(ctx context.Context) (*state, error) {
	s := &state{Rate: f.rate, Age: -1}
	var rows [3]int64
	if err := f.conn.QueryRow(ctx, readTraffic).Scan(&s.Events, &s.Persons, &s.Auctions, &s.Bids, &rows[0], &rows[1], &rows[2]); err != nil {
		return nil, err
	}
	s.At = time.Now()
	if n, ok := f.emitted(trafficView); ok && f.rate > 0 {
		s.Age = time.Duration(float64(max(n-s.Events, 0)) / float64(f.rate) * float64(time.Second))
	}
	s.PerSecond = f.speed(s.At, s.Events)
	var err error
	if s.Hot, err = collect(ctx, f.conn, readHot, func(r pgx.Rows, h *hotAuction) error {
		return r.Scan(&h.Auction, &h.Bids, &h.Highest, &s.Window)
	}); err != nil {
		return nil, err
	}
	if s.Categories, err = collect(ctx, f.conn, readCategories, func(r pgx.Rows, c *category) error {
		return r.Scan(&c.Category, &c.Sold, (*float)(&c.Revenue), &c.Dearest)
	}); err != nil {
		return nil, err
	}
	s.States, err = collect(ctx, f.conn, readStates, func(r pgx.Rows, g *region) error {
		return r.Scan(&g.State, &g.Bids, (*float)(&g.Volume), &g.Highest)
	})
	return s, err
}

// collect reads the rows of a query.
func collect[T any](ctx context.Context, conn *pgx.Conn, sql string, scan func(pgx.Rows, *T) error) ([]T, error) {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		var v T
		if err := scan(rows, &v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// speedOver is how far back the speed looks.
const speedOver = 3 * time.Second

// speed returns events per second over the last readings.
func (f *feed) speed(at time.Time, events int64) float64 {
	f.history = append(f.history, reading{at, events})
	for len(f.history) > 2 && at.Sub(f.history[0].at) > speedOver {
		f.history = f.history[1:]
	}
	first := f.history[0]
	if d := at.Sub(first.at).Seconds(); d > 0 {
		return float64(events-first.events) / d
	}
	return 0
}

// float reads a numeric as text, however long, for display.
type float float64

// Scan implements sql.Scanner.
func (f *float) Scan(src any) error {
	switch x := src.(type) {
	case string:
		v, err := strconv.ParseFloat(x, 64)
		*f = float(v)
		return err
	case nil:
		*f = 0
		return nil
	}
	return fmt.Errorf("read a number from %T", src)
}
