// Command follow prints what changes in a table or view, for as long as it runs.
//
// The idea: SUBSCRIBE gives the rows that are there and then every change; a progress row says up to which timestamp all has
// come. The program keeps that timestamp in a file. When it is started again it goes on from there and prints each change
// once, which is possible as long as the subscription that it creates keeps the changes.
//
// One goroutine. It does not keep the relation's contents. Start at follow.
//
//	go run ./examples/follow -view totals -position totals.pos
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

func main() {
	url := flag.String("url", "postgres://root@127.0.0.1:4566/dev", "the server")
	view := flag.String("view", "", "table or materialized view to follow")
	position := flag.String("position", "", "file that remembers how far we are")
	flag.Parse()
	if *view == "" || *position == "" {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := follow(ctx, *url, *view, *position, os.Stdout); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "follow:", err)
		os.Exit(1)
	}
}

// follow prints changes to out until ctx ends.
func follow(ctx context.Context, url, view, position string, out io.Writer) error {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	name := pgx.Identifier(strings.Split(view, ".")).Sanitize()
	keep := pgx.Identifier(strings.Split(view+"_follow", ".")).Sanitize()
	// It keeps the changes while nobody is connected.
	if _, err := c.Exec(ctx, fmt.Sprintf("CREATE SUBSCRIPTION IF NOT EXISTS %s FROM %s WITH (retention = '1 day')", keep, name)); err != nil {
		return err
	}
	subscribe := fmt.Sprintf("DECLARE changes CURSOR FOR SUBSCRIBE %s WITH (PROGRESS)", name)
	switch at, err := readPosition(position); {
	case err == nil:
		subscribe += fmt.Sprintf(" AS OF %d", at)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if _, err := c.Exec(ctx, subscribe); err != nil {
		return err
	}
	p := &printer{out: out, position: position}
	for {
		if err := p.fetch(ctx, c); err != nil {
			return err
		}
	}
}

// printer prints changes when their timestamp is complete.
type printer struct {
	out      io.Writer
	position string   // file
	waiting  []string // lines of timestamps that are not complete
}

// fetch takes what comes within a moment. A progress row says that what has come before it is complete.
func (p *printer) fetch(ctx context.Context, c *pgx.Conn) error {
	rows, err := c.Query(ctx, "FETCH ALL FROM changes WITH (timeout = '200ms')")
	if err != nil {
		return err
	}
	defer rows.Close()
	complete := int64(0)
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return err
		}
		// mz_timestamp, mz_progressed, mz_diff, then the columns.
		at, progressed := values[0].(int64), values[1].(bool)
		if !progressed {
			p.waiting = append(p.waiting, fmt.Sprintf("%d %+d %v\n", at, values[2], values[3:]))
			continue
		}
		for _, line := range p.waiting {
			if _, err := io.WriteString(p.out, line); err != nil {
				return err
			}
		}
		complete, p.waiting = at-1, nil
	}
	if err := rows.Err(); err != nil || complete == 0 {
		return err
	}
	return writePosition(p.position, complete)
}

// readPosition returns the timestamp up to which everything has been printed.
func readPosition(file string) (int64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}

// writePosition replaces the file in one step.
func writePosition(file string, at int64) error {
	if err := os.WriteFile(file+".new", []byte(strconv.FormatInt(at, 10)), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
