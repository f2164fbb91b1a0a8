// Command millrace is the streaming SQL database: server, demo and a small client in one binary.
//
// The idea: flags become a configuration, the configuration a server (internal/server), which runs until a
// signal. There is no logic here.
//
// Start at main.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/millrace/millrace/internal/server"
	"github.com/millrace/millrace/internal/sqlclient"
)

type cli struct {
	Start   startCmd   `cmd:"" help:"Run the database in one process."`
	Demo    demoCmd    `cmd:"" help:"Show an auction house and live views of it in the terminal."`
	Bench   benchCmd   `cmd:"" help:"Measure this build."`
	SQL     sqlCmd     `cmd:"" name:"sql" help:"Send SQL to a running database."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

type nodeFlags struct {
	ObjectStore string `help:"Where checkpoints go: file:///folder or s3://bucket/prefix?endpoint=…. Default: a folder below the data folder." placeholder:"URL"`
	Parallelism int    `help:"Actors per fragment of new jobs. Default: one per core." placeholder:"N"`
	SecretKey   string `help:"Key that encrypts secrets: 32 bytes in hexadecimal or base64. Better given in the environment. Default: the file secret.key in the data folder, made at the first start." env:"MILLRACE_SECRET_KEY" placeholder:"KEY"`
	StateMemory int64  `help:"Memory that the state of views may take before it is left to the store, in bytes. Default: half of what there is." placeholder:"BYTES"`
	LogLevel    string `help:"Least level of log lines on standard error." enum:"debug,info,warn,error" default:"warn"`
}

func (f *nodeFlags) config(data string) (server.Config, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.LogLevel)); err != nil {
		return server.Config{}, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	slog.SetDefault(log)
	if f.Parallelism < 0 || f.Parallelism > 256 {
		return server.Config{}, fmt.Errorf("--parallelism must be from 1 to 256")
	}
	return server.Config{DataDir: data, ObjectStore: f.ObjectStore, Parallelism: f.Parallelism, SecretKey: f.SecretKey, StateBytes: f.StateMemory, Logger: log}, nil
}

type startCmd struct {
	Listen        string `help:"Address for Postgres clients." default:"127.0.0.1:4566"`
	WebhookListen string `help:"Address for webhooks: tables that take rows by HTTP. Default: none are taken." placeholder:"ADDRESS" env:"MILLRACE_WEBHOOK_LISTEN"`
	Data          string `help:"Data folder." default:"./millrace-data" type:"path"`
	nodeFlags
}

// stopWithin bounds the shutdown: the last checkpoint and closing.
const stopWithin = 4500 * time.Millisecond

func (c *startCmd) Run() error {
	cfg, err := c.config(c.Data)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg.Webhooks = c.WebhookListen
	s, err := server.Start(ctx, cfg, c.Listen)
	if err != nil {
		return err
	}
	fmt.Printf("millrace %s is ready: psql -h %s -p %d -d dev -U root\n", server.Version, s.Addr().IP, s.Addr().Port)
	select {
	case <-ctx.Done():
	case err := <-s.Done():
		return fmt.Errorf("stopped listening: %w", err)
	}
	stop() // a second signal ends the process at once
	end, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	return s.Stop(end)
}

type sqlCmd struct {
	Host     string   `help:"Server." default:"127.0.0.1"`
	Port     int      `help:"Port." default:"4566"`
	User     string   `help:"User." short:"U" default:"root"`
	Database string   `help:"Database." short:"d" default:"dev"`
	Password string   `help:"Password." env:"PGPASSWORD"`
	Command  []string `help:"Run this and exit; may be repeated." short:"c" sep:"none"`
	File     string   `help:"Run the statements of this file and exit." short:"f"`
}

func (c *sqlCmd) Run() error {
	stat, _ := os.Stdin.Stat()
	tty := stat != nil && stat.Mode()&os.ModeCharDevice != 0
	os.Exit(sqlclient.Run(context.Background(), sqlclient.Options{
		Addr: fmt.Sprintf("%s:%d", c.Host, c.Port), User: c.User, Database: c.Database, Password: c.Password,
		Command: c.Command, File: c.File, In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Interactive: tty && len(c.Command) == 0 && c.File == "",
	}))
	return nil
}

type versionCmd struct{}

func (versionCmd) Run() error {
	rev := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				rev = " (" + s.Value[:min(12, len(s.Value))] + ")"
			}
		}
		fmt.Printf("millrace %s%s, %s\n", server.Version, rev, info.GoVersion)
		return nil
	}
	fmt.Printf("millrace %s\n", server.Version)
	return nil
}

func main() {
	var c cli
	k := kong.Parse(&c, kong.Name("millrace"), kong.Description("Millrace, a streaming SQL database."))
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "millrace:", strings.ReplaceAll(err.Error(), "\n", "; "))
		os.Exit(1)
	}
}
