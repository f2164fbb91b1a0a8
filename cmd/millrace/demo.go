package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/millrace/millrace/connector/offset"
	"github.com/millrace/millrace/internal/demo"
	"github.com/millrace/millrace/internal/server"
)

type demoCmd struct {
	Listen string `help:"Address for Postgres clients." default:"127.0.0.1:4566"`
	Data   string `help:"Data folder, kept and gone on with the next time. Default: a temporary one." type:"path" placeholder:"DIR"`
	Rate   int    `help:"Events per second." default:"10000"`
	nodeFlags
}

func (c *demoCmd) Run() (err error) {
	if c.Rate < 1 || c.Rate > 10_000_000 {
		return fmt.Errorf("--rate must be from 1 to 10000000 events per second")
	}
	dir := c.Data
	if dir == "" {
		if dir, err = os.MkdirTemp("", "millrace-demo-"); err != nil {
			return fmt.Errorf("make data folder: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	cfg, err := c.config(dir)
	if err != nil {
		return err
	}
	log := &lastLine{}
	cfg.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	slog.SetDefault(cfg.Logger) // nothing may write over the picture
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	s, err := server.Start(ctx, cfg, c.Listen)
	if err != nil {
		return err
	}
	addr := s.Addr()
	sum, err := demo.Run(ctx, demo.Options{Host: addr.IP.String(), Port: addr.Port, Rate: c.Rate, Out: os.Stdout, Note: log.get,
		Emitted: func(job string) (int64, bool) { return emitted(s, job) }})
	stop() // a second signal ends the process at once
	end, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	err = errors.Join(err, s.Stop(end))
	if sum != nil && err == nil {
		fmt.Printf("%d events; this demo ran for %.0f s\n", sum.Events, sum.Lasted.Seconds())
	}
	if note := log.get(); note != "" {
		fmt.Fprintln(os.Stderr, "last warning:", note)
	}
	return err
}

// emitted adds up how far the splits of a job's source have been read. After a restart every actor knows where each split was
// then; the one that reads it knows more.
func emitted(s *server.Server, job string) (total int64, ok bool) {
	rel, found := s.Catalog.Snapshot().Find("public", job)
	if !found {
		return 0, false
	}
	splits := map[string]int64{}
	for _, st := range s.Engine.Jobs() {
		if st.ID != rel.ID {
			continue
		}
		for _, src := range st.Sources {
			for split, at := range src.Offsets {
				n, err := offset.One([]byte(at))
				if err != nil {
					return 0, false
				}
				splits[split] = max(splits[split], n)
			}
		}
	}
	for _, n := range splits {
		total += n
	}
	return total, len(splits) > 0
}

// lastLine keeps the last line that was written to it.
type lastLine struct {
	mu   sync.Mutex
	text string
}

// Write implements io.Writer.
func (l *lastLine) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = strings.TrimSpace(string(b))
	return len(b), nil
}

func (l *lastLine) get() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text
}
