package mariadbtest

import "testing"

func TestRestart(t *testing.T) {
	s := For(t)
	s.Exec(t, "CREATE DATABASE d", "CREATE TABLE d.t (a INT PRIMARY KEY)", "INSERT INTO d.t VALUES (1), (2)")
	s.Kill()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := s.DB().QueryRow("SELECT count(*) FROM d.t").Scan(&n); err != nil || n != 2 {
		t.Fatalf("%d rows after a kill, %v", n, err)
	}
}
