package dbtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
)

// postgresBin is where Debian keeps PostgreSQL's programs.
const postgresBin = "/usr/lib/postgresql/15/bin"

// Postgres starts a PostgreSQL 15 whose database is postgres and whose superuser is root. It listens on a socket only. args are added to its
// command line.
func Postgres(t testing.TB, args ...string) *Server {
	t.Helper()
	s, err := newPostgres(args)
	return made(t, s, err)
}

func newPostgres(args []string) (*Server, error) {
	if _, err := os.Stat(filepath.Join(postgresBin, "initdb")); err != nil {
		return nil, fmt.Errorf("%w: PostgreSQL 15 in %s (apt-get install postgresql-15)", ErrMissing, postgresBin)
	}
	s, err := folder("postgres")
	if err != nil {
		return nil, err
	}
	s.Host = s.Dir
	data := filepath.Join(s.Dir, "data")
	s.bin, s.Args = filepath.Join(postgresBin, "postgres"), args
	// fsync is off: what a killed process has written is there, and the machine does not lose power.
	s.args = []string{"-D", data, "-k", s.Host, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "jit=off"}
	s.answer = func(ctx context.Context) error {
		c, err := pgx.Connect(ctx, "host="+s.Host+" user=root dbname=postgres")
		if err != nil {
			return err
		}
		return c.Close(ctx)
	}
	err = s.run(filepath.Join(postgresBin, "initdb"), "-D", data, "-U", "root", "--auth=trust", "--locale=C.UTF-8", "-E", "UTF8", "--no-sync")
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// Listen makes a PostgreSQL listen on a port of 127.0.0.1 from the next Start on.
func (s *Server) Listen(t testing.TB) {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	// The socket keeps the name that goes with the usual port: what it is called follows from the port alone.
	s.Port = port
	s.Args = append(s.Args, "-c", "listen_addresses=127.0.0.1", "-c", fmt.Sprintf("port=%d", port))
	s.answer = func(ctx context.Context) error {
		c, err := pgx.Connect(ctx, fmt.Sprintf("host=%s port=%d user=root dbname=postgres", s.Host, port))
		if err != nil {
			return err
		}
		return c.Close(ctx)
	}
}
